import { Duration, Effect, Option, Random } from "effect"

/** The pauses before the second attempt and those that follow it: 3 days and 3.5 hours in all. */
const pauses = [
  Duration.seconds(5),
  Duration.minutes(5),
  Duration.minutes(30),
  Duration.hours(2),
  Duration.hours(5),
  Duration.hours(10),
  Duration.hours(14),
  Duration.hours(20),
  Duration.hours(24),
] as const

/** Up to a tenth more, so that deliveries that failed together are not repeated together. */
const jitter = 0.1

/**
 * The pause before the next attempt, after `attempts` of them. A longer `Retry-After` wins; its reader bounds it to a day.
 * None: there is no other attempt.
 */
export const pauseAfter = (
  attempts: number,
  retryAfter: Option.Option<Duration.Duration>,
): Effect.Effect<Option.Option<Duration.Duration>> =>
  Effect.map(Random.next, (random) =>
    Option.map(Option.fromNullable(pauses[attempts - 1]), (pause) =>
      Duration.max(
        Duration.times(pause, 1 + jitter * random),
        Option.getOrElse(retryAfter, () => Duration.zero),
      ),
    ),
  )
