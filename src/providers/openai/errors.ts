import { type Duration, Option } from "effect"
import { APIError } from "openai"
import { parseRetryAfter } from "../../outbound/retry-after.ts"
import type { Stage } from "../../schema.ts"
import {
  asUnserved,
  finalAnswer,
  type ProviderDetails,
  type ProviderError,
  ProviderRateLimited,
  ProviderRefusedKey,
  ProviderRefusedRequest,
  ProviderUnusable,
  type UnusableKind,
  wrongAnswer,
} from "../errors.ts"
import { type ErrorBody, readErrorBody } from "./error-body.ts"
import { AnswerTooLarge } from "./fetch.ts"

/** Codes of a connection that did not come about. After others the server may have got the request. */
const UNREACHED =
  /^(?:ECONNREFUSED|ConnectionRefused|FailedToOpenSocket|ENOTFOUND|EAI_\w+|EHOSTUNREACH|ENETUNREACH|\w*CERT\w*)$/

/** Translates what the SDK throws. An error without a status never reached a working server. */
export const toProviderError =
  (stage: Stage) =>
  (cause: unknown): ProviderError => {
    if (cause instanceof ProviderUnusable) return cause
    if (rootOf(cause) instanceof AnswerTooLarge) {
      return finalAnswer(stage, "endless", "an answer larger than 16 MB")
    }
    if (!(cause instanceof APIError) || cause.status === undefined) {
      const reason = describe(cause)
      const error = wrongAnswer(stage, reason)
      return UNREACHED.test(reason) ? asUnserved(error) : error
    }
    const { status, headers } = cause
    return fromStatus(stage, status, bodyOf(cause), parseRetryAfter(headers, status === 429))
  }

/**
 * The error of an answer with status 200 that reports one, or that is a document without what was asked for. `reason`: for the
 * log, if the body does not say what kind of error it is.
 */
export const reportedError = (
  stage: Stage,
  body: unknown,
  reason = "an error of no known kind",
): ProviderError => {
  const read = readErrorBody(body)
  const status = read.status ?? statusByName(read.details)
  return status === undefined
    ? new ProviderUnusable({
        stage,
        reason,
        retryable: true,
        retryAfter: Option.none(),
        details: read.details,
      })
    : fromStatus(stage, status, read, Option.none())
}

/** The SDK's message of a body that is not JSON is the body, with the status in front. */
const bodyOf = ({ status, error, message }: APIError): ErrorBody => {
  if (error !== undefined && error !== null) return readErrorBody(error)
  const isEmpty = message === `${status} status code (no body)`
  return readErrorBody(isEmpty ? undefined : message.slice(`${status} `.length))
}

/** The codes of an account without money. A pause does not help. */
const SPENT =
  /insufficient_(?:user_)?(?:quota|balance|credits?|funds)|exceeded_current_quota|billing_(?:hard_limit|not_active)|out_of_credits?/i

/** Errors without a status, by the names that servers give them. */
const STATUSES: ReadonlyArray<readonly [number, RegExp]> = [
  [402, SPENT],
  [429, /rate_?limit|too_?many_?requests|resource_?exhausted|throttl/i],
  [401, /authentication|api_?key|unauthenticated|unauthorized|permission/i],
  [404, /not_?found/i],
  [402, /payment|credit/i],
  [400, /invalid_?(?:request|argument|value)|bad_?request|context_length|unsupported_/i],
]

const statusByName = (details: ProviderDetails): number | undefined =>
  STATUSES.find(([, name]) => isNamed(details, name))?.[0]

const isNamed = ({ code = "", type = "" }: ProviderDetails, name: RegExp) =>
  name.test(code) || name.test(type)

/** Names for a wrong key: `API_KEY_INVALID`, `InvalidApiKey`, `authentication_error`. */
const KEY_NAME =
  /^[\w.-]{0,40}(?:api[_-]?key|auth[_-]?token|access[_-]?token|authentication|unauthenticated|unauthori[sz]ed)[\w.-]{0,40}$/i

const theKey = String.raw`(?:(?:api|access|auth\w*|bearer|subscription|secret)[ _-]?(?:keys?|tokens?|header)|credentials?)\b`
const wrong = String.raw`(?:not (?:valid|found|provided|set|correct)|invalid|incorrect|wrong|expired|missing|unknown|revoked|disabled|malformed|unauthori[sz]ed|no|required|leaked|suspended)\b`

/** Only at the start of the sentence: further on it may quote the conversation. */
const KEY_SENTENCE = new RegExp(
  `^(?:authentication (?:error|fail)|(?:(?:error|authentication|(?:your|the|this|an?|provided|please|is|or|of|for|format|valid|specified|${wrong})\\b)[ :,]*){0,6}(?:${theKey}[^.]{0,60}?\\b${wrong}|(?<=\\b${wrong}[^.]{0,30})${theKey}))`,
  "i",
)

/** Gemini answers 400 to a wrong key, and so do xAI and Cloudflare. */
const refusesKey = ({ message = "", words }: ErrorBody) =>
  words.some((word) => KEY_NAME.test(word)) || KEY_SENTENCE.test(message)

const fromStatus = (
  stage: Stage,
  status: number,
  body: ErrorBody,
  retryAfter: Option.Option<Duration.Duration>,
): ProviderError => {
  const { message = "The provider refused the request.", details } = body
  const isSpent = status === 402 || ([400, 403, 429].includes(status) && isNamed(details, SPENT))
  const reason = `status ${status}`
  const final = (kind: UnusableKind) =>
    new ProviderUnusable({ ...asUnserved(finalAnswer(stage, kind, reason)), details })
  if (isSpent) return final("no-credit")
  if ([400, 404, 422].includes(status) && refusesKey(body)) return new ProviderRefusedKey({ stage, details })
  switch (status) {
    case 400:
      return new ProviderRefusedRequest({ stage, message, details })
    case 401:
    case 403:
      return new ProviderRefusedKey({ stage, details })
    case 404:
      return final("no-model")
    case 422:
      return final("refused-field")
    case 429:
      return new ProviderRateLimited({ stage, retryAfter, details })
    default: {
      const retryable = status >= 500 || status === 408 || status === 409
      return new ProviderUnusable({ stage, reason, retryable, retryAfter, isUnserved: true, details })
    }
  }
}

const rootOf = (cause: unknown): unknown =>
  cause instanceof Error && cause.cause instanceof Error ? rootOf(cause.cause) : cause

/** The code or name of the innermost cause, for the log. Never a message: messages quote the conversation. */
const describe = (cause: unknown): string => {
  const root = rootOf(cause)
  if (!(root instanceof Error)) return typeof root
  return "code" in root && typeof root.code === "string" ? root.code : root.constructor.name
}
