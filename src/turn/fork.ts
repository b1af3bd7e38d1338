import { Deferred, Effect, Exit, Fiber } from "effect"

/**
 * Runs the effect in a child fiber. When a sibling in `Effect.all` fails, this interrupts the effect even inside its own
 * time-out, which `Effect.all` alone does not. It ends after the finalizers of the effect in every case.
 */
export const forkJoin = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.scoped(Effect.flatMap(Effect.forkScoped(effect), Fiber.join))

/**
 * Runs the effect until it or `end` ends. Waits for the finalizers of both in every case, also on interruption, which
 * `Effect.raceFirst` alone does not.
 */
export const runUntil = <A, E, R, A2, E2, R2>(
  effect: Effect.Effect<A, E, R>,
  end: Effect.Effect<A2, E2, R2>,
): Effect.Effect<A | A2, E | E2, R | R2> =>
  Effect.gen(function* () {
    const first = yield* Deferred.make<A | A2, E | E2>()
    const settle = <B extends A | A2, F extends E | E2, R3>(either: Effect.Effect<B, F, R3>) =>
      Effect.forkScoped(Effect.onExit(either, (exit) => Deferred.done(first, exit)))
    yield* settle(effect)
    yield* settle(end)
    return yield* Deferred.await(first)
  }).pipe(Effect.scoped)

/**
 * Runs both at once. The failure of one interrupts the other, even inside its own time-out, which `Effect.all` alone does
 * not. Waits for the finalizers of both in every case.
 */
export const runBoth = <A, E, R, A2, E2, R2>(
  one: Effect.Effect<A, E, R>,
  other: Effect.Effect<A2, E2, R2>,
): Effect.Effect<readonly [A, A2], E | E2, R | R2> =>
  Effect.gen(function* () {
    const settled = yield* Deferred.make<void, E | E2>()
    let running = 2
    const settle = <B, F extends E | E2, R3>(either: Effect.Effect<B, F, R3>) =>
      Effect.forkScoped(
        Effect.onExit(either, (exit) => {
          running -= 1
          if (Exit.isFailure(exit)) return Deferred.failCause(settled, exit.cause)
          return running === 0 ? Deferred.succeed(settled, undefined) : Effect.void
        }),
      )
    const [left, right] = [yield* settle(one), yield* settle(other)]
    yield* Deferred.await(settled)
    return [yield* Fiber.join(left), yield* Fiber.join(right)] as const
  }).pipe(Effect.scoped)
