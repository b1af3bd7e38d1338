/** A clock for services under test, on which pauses and time-outs are shorter. */
import { Clock, Duration, Effect } from "effect"

/** In ms. */
const tick = 10

/**
 * How long this process did not get the CPU since the first call, in ms. On a busy machine that can exceed a time-out
 * of 30 s that a fast clock turns into 0.6 s.
 */
const stalls = (() => {
  let lost = 0
  let last = 0
  /** A timer is late by 1 or 2 ms on an idle machine. */
  const missed = (now: number) => Math.max(0, now - last - tick - 2)
  return () => {
    if (last === 0) {
      last = performance.now()
      setInterval(() => {
        const now = performance.now()
        lost += missed(now)
        last = now
      }, tick).unref()
    }
    return lost + missed(performance.now())
  }
})()

/**
 * The real clock with every sleep `times` shorter, so that tests do not wait for pauses and time-outs. A sleep is
 * prolonged by the time for which the process did not run, because the awaited work did not run either.
 */
export const fastClock = (speed: number): Clock.Clock => {
  const clock = Clock.make()
  const sleep = (ms: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      const before = stalls()
      return Effect.flatMap(clock.sleep(Duration.millis(ms)), () => {
        const missed = stalls() - before
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
