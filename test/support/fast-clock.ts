/** A clock for services under test, on which pauses and time-outs are shorter. */
import { Clock, Duration, Effect } from "effect"
import { stalled, watchStalls } from "./stalls.ts"

/**
 * The real clock with every sleep `times` shorter, so that tests do not wait for pauses and time-outs. A sleep is
 * prolonged by the time for which the process did not run, because the awaited work did not run either. The delays of the
 * scripted upstream are prolonged in the same way, so both keep their order.
 */
export const fastClock = (speed: number): Clock.Clock => {
  watchStalls()
  const clock = Clock.make()
  const sleep = (ms: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      const before = stalled()
      return Effect.flatMap(clock.sleep(Duration.millis(ms)), () => {
        const missed = stalled() - before
        return missed > 1 ? sleep(missed) : Effect.void
      })
    })
  return {
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    unsafeCurrentTimeMillis: () => clock.unsafeCurrentTimeMillis(),
    unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos(),
    currentTimeMillis: clock.currentTimeMillis,
    currentTimeNanos: clock.currentTimeNanos,
    sleep: (wait) =>
      Duration.toMillis(wait) === Number.POSITIVE_INFINITY
        ? clock.sleep(wait)
        : sleep(Duration.toMillis(wait) / speed),
  }
}
