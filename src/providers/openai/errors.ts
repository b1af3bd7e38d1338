import { Duration, Option, Predicate } from "effect"
import { APIError } from "openai"
import type { Stage } from "../../schema.ts"
import {
  type ProviderError,
  ProviderRateLimited,
  ProviderRefusedKey,
  ProviderRefusedRequest,
  ProviderUnusable,
  wrongAnswer,
} from "../errors.ts"

/** Translates what the SDK throws. An error without a status never reached a working server. */
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
        return new ProviderRefusedRequest({ stage, message: messageOf(cause) })
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

/** The provider's own sentence. The SDK's message has the status in front of it. */
const messageOf = ({ error }: APIError): string =>
  Predicate.hasProperty(error, "message") && typeof error.message === "string" && error.message !== ""
    ? error.message.slice(0, 500)
    : "The provider refused the request."

/** The code or name of the innermost cause, for the log. Never a message: messages quote the conversation. */
const describe = (cause: unknown): string => {
  if (!(cause instanceof Error)) return typeof cause
  if (cause.cause instanceof Error) return describe(cause.cause)
  return "code" in cause && typeof cause.code === "string" ? cause.code : cause.constructor.name
}

/** A day. A longer Retry-After is cut to it. */
const maxRetryAfterSeconds = 86_400

/** Reads seconds, OpenAI's own header in milliseconds, or a date. */
const parseRetryAfter = (headers: Headers | undefined): Option.Option<Duration.Duration> => {
  const ms = Number(headers?.get("retry-after-ms") ?? Number.NaN)
  if (ms >= 0) return Option.some(Duration.millis(Math.min(ms, 1000 * maxRetryAfterSeconds)))
  const value = headers?.get("retry-after")
  if (value === null || value === undefined) return Option.none()
  const seconds = /^\d+(\.\d+)?$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000
  return Number.isNaN(seconds)
    ? Option.none()
    : Option.some(Duration.seconds(Math.min(Math.max(0, seconds), maxRetryAfterSeconds)))
}
