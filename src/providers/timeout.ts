import { Duration, Effect } from "effect"
import type { Stage } from "../schema.ts"
import type { Attempt } from "./attempt.ts"
import { timedOut } from "./errors.ts"

/** Checks per time-out. A silence is noticed at most an eighth of the time-out late. */
const ticks = 8

/**
 * Fails an attempt that makes no progress for `timeout`, before its first useful element or between two of them. An attempt
 * that never calls `onProgress` has to end within `timeout`. One fiber watches the whole stream: `Effect.timeout` around
 * every element costs ten times as much as reading the element.
 */
export const withTimeout =
  (stage: Stage, timeout: Duration.Duration) =>
  <A>(attempt: Attempt<A>): Attempt<A> =>
  (onProgress) =>
    Effect.suspend(() => {
      let quietTicks = 0
      const watch = Effect.gen(function* () {
        while (quietTicks < ticks) {
          yield* Effect.sleep(Duration.times(timeout, 1 / ticks))
          quietTicks += 1
        }
        return yield* timedOut(stage, timeout)
      })
      const watched = attempt(() => {
        // The tick that runs now began before the progress.
        quietTicks = -1
        onProgress()
      })
      return Effect.raceFirst(watched, watch)
    })
