import { serverTimingNames } from "../payloads.ts"
import type { HeaderParameter } from "./operation.ts"

const text = { type: "string" }
const uuid = { type: "string", format: "uuid" }

/** The API's own response headers. Standard HTTP headers are not documented. */
export const answerHeaders = {
  "X-Request-Id": {
    description:
      "The request's id, in the response and in the service's log. It is the request's own X-Request-Id, or a new one.",
    required: true,
    schema: text,
  },
  "X-Session-Id": {
    description:
      "The turn's session. It is a new one if the request named none, or one that is unknown or expired.",
    required: true,
    schema: uuid,
  },
  "X-Turn-Id": { description: "The turn's id, which cancels it.", required: true, schema: uuid },
  "X-Transcript": {
    description:
      "The transcript, percent-encoded. Decode it with decodeURIComponent. At most 2 KB. Absent from text/event-stream, which sends it as an event.",
    schema: text,
  },
  "X-Transcript-Truncated": {
    description: "Present if X-Transcript was cut to 2 KB, at a whole character.",
    schema: { type: "string", enum: ["true"] },
  },
  "X-Response": {
    description:
      "The text of a reply that has nothing to speak, such as an emoji, encoded as X-Transcript. The audio is a short silence.",
    schema: text,
  },
  "X-Response-Truncated": {
    description: "Present if X-Response was cut to 2 KB, at a whole character.",
    schema: { type: "string", enum: ["true"] },
  },
  "Server-Timing": {
    description: `The timings known when the headers leave, in milliseconds: ${serverTimingNames.join(", ")}.`,
    schema: text,
  },
  "Idempotent-Replayed": {
    description: "Present if an earlier request with this Idempotency-Key started the turn.",
    schema: { type: "string", enum: ["true"] },
  },
  "RateLimit-Policy": {
    description:
      'The limit: its name, the number of requests, and the window in seconds: `"turns";q=30;w=60`.',
    schema: text,
  },
  RateLimit: {
    description:
      'The remaining requests, and the seconds until the limit resets (on a 429, until the next request): `"turns";r=29;t=2`.',
    schema: text,
  },
  "Retry-After": {
    description: "Seconds to wait before the next try. The same as retryAfter in the body.",
    required: true,
    schema: { type: "integer", minimum: 1 },
  },
  Upgrade: { description: "The protocol that the path requires.", required: true, schema: text },
  Connection: { description: "Belongs to Upgrade.", required: true, schema: text },
  "WWW-Authenticate": {
    description: "The authentication scheme: Bearer.",
    required: true,
    schema: text,
  },
  "Accept-Encoding": {
    description: "The supported encoding of a request body, if the request had another one: identity.",
    schema: { type: "string", enum: ["identity"] },
  },
  "Cache-Control": {
    description: "Caches must not store the response.",
    required: true,
    schema: { type: "string", enum: ["no-store"] },
  },
  "Content-Disposition": { description: "The file name for the download.", required: true, schema: text },
} as const
export type AnswerHeader = keyof typeof answerHeaders

/** HTTP header names are case-insensitive. */
const byLowerCase = new Map(Object.keys(answerHeaders).map((name) => [name.toLowerCase(), name] as const))
export const headerNamed = (name: string): string => byLowerCase.get(name.toLowerCase()) ?? name

export const idempotencyKey: HeaderParameter = {
  name: "Idempotency-Key",
  description:
    "Makes a retry safe. The turn runs to its end even if the client disconnects. For 24 hours, a request with the same key and the same recording or text receives the same reply, without another provider call. A failed turn frees its key.",
  schema: { type: "string", minLength: 1, maxLength: 255, pattern: "^[!-~]+$" },
}

export const registrationToken: HeaderParameter = {
  name: "X-Registration-Token",
  description:
    "The operator's registration token, if registration requires one. The body's `registrationToken` takes precedence.",
  schema: text,
}

export const requestId: HeaderParameter = {
  name: "X-Request-Id",
  description: "Your own id for the request. An id that does not match the pattern is replaced.",
  schema: { type: "string", pattern: "^[\\w.\\-]{1,64}$" },
}
