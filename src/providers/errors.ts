import { Duration, Option, Predicate, Schema } from "effect"
import { APIError } from "openai"
import { Stage } from "../schema.ts"

/** As the provider gave it; None where it gave none. */
const retryAfter = Schema.OptionFromSelf(Schema.DurationFromSelf)

/** The provider's 429. `exhausted`: the account's quota is spent, so that no pause will help. */
export class ProviderRateLimited extends Schema.TaggedError<ProviderRateLimited>()("ProviderRateLimited", {
  stage: Stage,
  retryAfter,
  exhausted: Schema.Boolean,
}) {}

/** The provider's 401 or 403: this server's key is wrong, not the caller's. */
export class ProviderRefusedKey extends Schema.TaggedError<ProviderRefusedKey>()("ProviderRefusedKey", {
  stage: Stage,
}) {}

/** The provider's 400, in its own words. */
export class ProviderRefusedRequest extends Schema.TaggedError<ProviderRefusedRequest>()(
  "ProviderRefusedRequest",
  {
    stage: Stage,
    /** May quote what was said: for the caller, never for the log. */
    message: Schema.String,
  },
) {}

/** No usable answer: a network error, a time-out, a 5xx, another 4xx, or an answer that is not what was asked for. */
export class ProviderUnusable extends Schema.TaggedError<ProviderUnusable>()("ProviderUnusable", {
  stage: Stage,
  /** For the log. */
  reason: Schema.String,
  retryable: Schema.Boolean,
  retryAfter,
}) {}

export type ProviderError =
  | ProviderRateLimited
  | ProviderRefusedKey
  | ProviderRefusedRequest
  | ProviderUnusable

/** An answer came, but not the one asked for: HTML for audio, cut-off JSON, a stream without its end mark. */
export const wrongAnswer = (stage: Stage, reason: string) =>
  new ProviderUnusable({ stage, reason, retryable: true, retryAfter: Option.none() })

export const timedOut = (stage: Stage, after: Duration.Duration) =>
  wrongAnswer(stage, `no answer within ${Duration.toSeconds(after)} s`)

/** Whatever the SDK throws, as a value. */
export const toProviderError =
  (stage: Stage) =>
  (cause: unknown): ProviderError => {
    if (cause instanceof ProviderUnusable) return cause
    if (!(cause instanceof APIError) || cause.status === undefined) {
      return wrongAnswer(stage, describe(cause))
    }
    const wait = parseRetryAfter(cause.headers)
    switch (cause.status) {
      case 400:
        return new ProviderRefusedRequest({ stage, message: wordsOf(cause) })
      case 401:
      case 403:
        return new ProviderRefusedKey({ stage })
      case 429:
        return new ProviderRateLimited({
          stage,
          retryAfter: wait,
          exhausted: cause.code === "insufficient_quota",
        })
      default:
        return new ProviderUnusable({
          stage,
          reason: `status ${cause.status}`,
          retryable: cause.status >= 500 || cause.status === 408 || cause.status === 409,
          retryAfter: wait,
        })
    }
  }

/** The provider's own sentence; the SDK's has the status before it. */
const wordsOf = ({ error }: APIError): string =>
  Predicate.hasProperty(error, "message") && typeof error.message === "string" && error.message !== ""
    ? error.message.slice(0, 500)
    : "The provider refused the request."

/**
 * The innermost cause's code or name, for the log. Never a message: those quote the answer, and so what people said.
 */
const describe = (cause: unknown): string => {
  if (!(cause instanceof Error)) return typeof cause
  if (cause.cause instanceof Error) return describe(cause.cause)
  return "code" in cause && typeof cause.code === "string" ? cause.code : cause.constructor.name
}

/** A day: what asks for more is no answer to "when". */
const longestSeconds = 86_400

/** Seconds, milliseconds (OpenAI's own header), or a date. */
const parseRetryAfter = (headers: Headers | undefined): Option.Option<Duration.Duration> => {
  const ms = Number(headers?.get("retry-after-ms") ?? Number.NaN)
  if (ms >= 0) return Option.some(Duration.millis(Math.min(ms, 1000 * longestSeconds)))
  const given = headers?.get("retry-after")
  if (given === null || given === undefined) return Option.none()
  const seconds = /^\d+(\.\d+)?$/.test(given) ? Number(given) : (Date.parse(given) - Date.now()) / 1000
  return Number.isNaN(seconds)
    ? Option.none()
    : Option.some(Duration.seconds(Math.min(Math.max(0, seconds), longestSeconds)))
}
