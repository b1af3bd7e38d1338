import { Duration, Effect } from "effect"
import type { Stage } from "../schema.ts"
import type { Attempt } from "./attempt.ts"
import { type MayRetry, stillThinking, timedOut } from "./errors.ts"

/** Checks per time-out. A silence is noticed at most an eighth of the time-out late. */
const ticks = 8

/**
 * Fails an attempt that is silent for `timeout`, before its first element or between two of them. An attempt that never
 * calls back has to end within `timeout`. Signs of life break the silence, but for `thinkingTimeout` at most without
 * progress. A pause does not count, and the time begins anew after it. One fiber watches the whole stream: `Effect.timeout`
 * around every element costs ten times as much as reading the element. The options are those of the time-out's error.
 */
export const withTimeout =
  (stage: Stage, timeout: Duration.Duration, thinkingTimeout = timeout, options: MayRetry = {}) =>
  <A>(attempt: Attempt<A>): Attempt<A> =>
  (onProgress, onLife, onPause) =>
    Effect.suspend(() => {
      const maxUselessTicks = Math.max(
        ticks,
        Math.round((ticks * Duration.toMillis(thinkingTimeout)) / Duration.toMillis(timeout)),
      )
      let quietTicks = 0
      let uselessTicks = 0
      let pauses = 0
      const watch = Effect.gen(function* () {
        while (quietTicks < ticks && uselessTicks < maxUselessTicks) {
          yield* Effect.sleep(Duration.times(timeout, 1 / ticks))
          if (pauses > 0) continue
          quietTicks += 1
          uselessTicks += 1
        }
        return yield* quietTicks < ticks
          ? stillThinking(stage, thinkingTimeout)
          : timedOut(stage, timeout, options)
      })
      const watched = attempt(
        () => {
          // The tick that runs now began before the progress.
          quietTicks = -1
          uselessTicks = -1
          onProgress()
        },
        () => {
          quietTicks = -1
          onLife()
        },
        (paused) => {
          pauses += paused ? 1 : -1
          quietTicks = -1
          uselessTicks = -1
          onPause(paused)
        },
      )
      return Effect.raceFirst(watched, watch)
    })
