import { Duration, Effect, FiberSet, type Scope } from "effect"

/** How long the end of a connection waits for its last writes. */
export const closeTimeout = Duration.seconds(5)

/** Runs an effect that outlives its connection. */
export type Linger = (effect: Effect.Effect<void>) => Effect.Effect<void>

/** For writes that outlive their connections. The end of the scope waits for them as long as for those of a connection. */
export const makeLinger: Effect.Effect<Linger, never, Scope.Scope> = Effect.gen(function* () {
  const lingering = yield* FiberSet.make<void>()
  yield* Effect.addFinalizer(() =>
    FiberSet.awaitEmpty(lingering).pipe(Effect.timeoutOption(closeTimeout), Effect.interruptible),
  )
  return (effect) => Effect.asVoid(FiberSet.run(lingering, Effect.interruptible(effect)))
})
