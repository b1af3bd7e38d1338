import { type Duration, Effect, type Scope } from "effect"

/**
 * Repeats `check` while `isNeeded`, each after the `interval` that counts then. Returns a plain function to call when there is
 * something to check; any number of calls. Without anything to check no timer runs: a process that wakes every second for
 * nothing costs more than the timer, since Bun then also collects garbage every second.
 */
export const watchWhile = <R>(
  isNeeded: () => boolean,
  interval: () => Duration.Duration,
  check: Effect.Effect<unknown, never, R>,
): Effect.Effect<() => void, never, Scope.Scope | R> =>
  Effect.gen(function* () {
    const begun = Effect.unsafeMakeLatch(false)
    const watch = Effect.gen(function* () {
      yield* begun.await
      while (isNeeded()) {
        yield* Effect.sleep(interval())
        yield* check
      }
      begun.unsafeClose()
    })
    yield* Effect.forkScoped(Effect.forever(watch))
    return () => {
      begun.unsafeOpen()
    }
  })
