import { Duration, Effect, Option, Schedule } from "effect"
import { countRetry } from "../metrics.ts"
import { detailFields, type ProviderError, reasonOf } from "./errors.ts"

/** A longer Retry-After fails at once: the user would hear silence for that long. */
const maxRetryAfter = Duration.seconds(5)

const retryAfter = (error: ProviderError): Duration.Duration =>
  "retryAfter" in error ? Option.getOrElse(error.retryAfter, () => Duration.zero) : Duration.zero

const isRetryable = (error: ProviderError): boolean => {
  if (Duration.greaterThan(retryAfter(error), maxRetryAfter)) return false
  switch (error._tag) {
    case "ProviderRateLimited":
      return true
    case "ProviderUnusable":
      return error.retryable
    default:
      return false
  }
}

/** An empty answer, or a call of an unknown tool, may be chance once; each one is paid for. */
const maxRetries = (error: ProviderError) =>
  error._tag === "ProviderUnusable" && (error.kind === "empty" || error.kind === "unknown-tool") ? 1 : 2

/**
 * The one retry policy: at most 2 tries after the first (1 after an empty answer or an unknown tool), after 1 s then 2 s (± 20
 * %), or after the provider's Retry-After if that is longer. `mayRetry` is called before each retry. Each retry logs a warning.
 */
export const retryPolicy = (
  mayRetry: (error: ProviderError) => boolean = () => true,
): Schedule.Schedule<unknown, ProviderError> =>
  Schedule.identity<ProviderError>().pipe(
    Schedule.intersect(Schedule.exponential("1 second").pipe(Schedule.jittered)),
    Schedule.map(([error]) => error),
    Schedule.intersect(Schedule.recurs(2)),
    Schedule.whileOutput(([error, retriesBefore]) => retriesBefore < maxRetries(error)),
    // Here, since a `while` of Effect.retry runs after the warning.
    Schedule.whileInput((error: ProviderError) => isRetryable(error) && mayRetry(error)),
    Schedule.modifyDelayEffect(([error, retriesBefore], delay) => {
      const pause = Duration.max(delay, retryAfter(error))
      return Effect.logWarning("provider.retry").pipe(
        Effect.annotateLogs({
          stage: error.stage,
          attempt: retriesBefore + 2,
          delayMs: Math.round(Duration.toMillis(pause)),
          reason: reasonOf(error),
          ...detailFields(error.details),
        }),
        Effect.zipRight(countRetry(error.stage)),
        Effect.as(pause),
      )
    }),
  )
