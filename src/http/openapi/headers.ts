import { serverTimingNames } from "../payloads.ts"
import type { HeaderParameter } from "./operation.ts"

const text = { type: "string" }
const uuid = { type: "string", format: "uuid" }

/** Every header of an answer that the API gives a meaning; those of HTTP itself are left out. */
export const answerHeaders = {
  "X-Request-Id": {
    description:
      "Names the request, here and in the service's log: the caller's own X-Request-Id, or a new one.",
    required: true,
    schema: text,
  },
  "X-Session-Id": {
    description:
      "The session that the turn belongs to; a new one where the one asked for could not be joined.",
    required: true,
    schema: uuid,
  },
  "X-Turn-Id": { description: "The turn, by which it can be cancelled.", required: true, schema: uuid },
  "X-Transcript": {
    description:
      "What was said, percent-encoded where a header must be: decodeURIComponent gives the text. At most 2 KB. Not with text/event-stream, whose events have it.",
    schema: text,
  },
  "X-Transcript-Truncated": {
    description: "Present where X-Transcript was cut, at a whole character.",
    schema: { type: "string", enum: ["true"] },
  },
  "Server-Timing": {
    description: `The timings known when the headers leave, in milliseconds: ${serverTimingNames.join(", ")}.`,
    schema: text,
  },
  "Idempotent-Replayed": {
    description: "Present where an earlier request with this Idempotency-Key took the turn.",
    schema: { type: "string", enum: ["true"] },
  },
  "RateLimit-Policy": {
    description: 'What is allowed: its name, how many, and within how many seconds: `"turns";q=30;w=60`.',
    schema: text,
  },
  RateLimit: {
    description:
      'What is left of it, and in how many seconds all is there again (of a refusal: one): `"turns";r=29;t=2`.',
    schema: text,
  },
  "Retry-After": {
    description: "Seconds after which another try may do. The body's retryAfter.",
    required: true,
    schema: { type: "integer", minimum: 1 },
  },
  "WWW-Authenticate": {
    description: "How to say who one is: by a Bearer key.",
    required: true,
    schema: text,
  },
  "Cache-Control": {
    description: "No cache may keep the answer.",
    required: true,
    schema: { type: "string", enum: ["no-store"] },
  },
  "Content-Disposition": { description: "A file name to save it by.", required: true, schema: text },
} as const
export type AnswerHeader = keyof typeof answerHeaders

/** By which a header of a Problem is known: HTTP's names have no letter case. */
const byLowerCase = new Map(Object.keys(answerHeaders).map((name) => [name.toLowerCase(), name] as const))
export const headerNamed = (name: string): string => byLowerCase.get(name.toLowerCase()) ?? name

/** On a request for a turn. */
export const idempotencyKey: HeaderParameter = {
  name: "Idempotency-Key",
  description:
    "Makes the turn safe to ask for again: it runs to its end even when its client leaves, and for 24 h the same key with the same recording or text gets the same answer, paid once. A turn that failed frees its key.",
  schema: { type: "string", minLength: 1, maxLength: 255, pattern: "^[!-~]+$" },
}

/** On a registration, where the body does not have it. */
export const registrationToken: HeaderParameter = {
  name: "X-Registration-Token",
  description: "The operator's token, where registration takes one and the body has none.",
  schema: text,
}

/** On any request. */
export const requestId: HeaderParameter = {
  name: "X-Request-Id",
  description: "The caller's own name for the request. Another than this pattern has is replaced.",
  schema: { type: "string", pattern: "^[\\w.\\-]{1,64}$" },
}
