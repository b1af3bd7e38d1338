import { Duration, Effect } from "effect"
import type { Stage } from "../schema.ts"
import type { Attempt } from "./attempt.ts"
import { timedOut } from "./errors.ts"

/** A silence is noticed after the time-out, and an eighth of it later at most. */
const ticks = 8

/**
 * Interrupts an attempt that makes no progress for `timeout`: not until its first useful element, and not between two of
 * them. Without progress that is the time for the whole answer. One fibre watches the whole stream: a time-out of
 * Effect's own around every element costs ten times what reading the element costs.
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
