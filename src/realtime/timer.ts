import { Effect, type Fiber, FiberId } from "effect"

/** One timer, which is set anew or cleared at any time. Plain functions. */
export interface Timer {
  /** Rings after `ms`. An earlier setting is void. */
  readonly set: (ms: number) => void
  readonly clear: () => void
  /** Whether the timer of this generation is still wanted: it may have waited in a queue meanwhile. */
  readonly isDue: (generation: number) => boolean
}

export const makeTimer = (
  fork: (effect: Effect.Effect<void>) => Fiber.RuntimeFiber<void>,
  onRing: (generation: number) => void,
): Timer => {
  let newest = 0
  let sleeping: Fiber.RuntimeFiber<void> | undefined
  const clear = () => {
    newest += 1
    sleeping?.unsafeInterruptAsFork(FiberId.none)
    sleeping = undefined
  }
  return {
    set: (ms) => {
      clear()
      const generation = newest
      sleeping = fork(
        Effect.delay(
          Effect.sync(() => onRing(generation)),
          ms,
        ),
      )
    },
    clear,
    isDue: (generation) => generation === newest,
  }
}
