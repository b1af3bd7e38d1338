import { Effect, Fiber } from "effect"

/**
 * Runs the effect in a child fiber. When a sibling in `Effect.all` fails, this interrupts the effect even inside its own
 * time-out, which `Effect.all` alone does not. It ends after the finalizers of the effect in every case.
 */
export const forkJoin = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.scoped(Effect.flatMap(Effect.forkScoped(effect), Fiber.join))

/**
 * Runs the effect until it or `end` ends. Waits for the finalizers of the effect in both cases and on interruption, which
 * `Effect.raceFirst` alone does not.
 */
export const runUntil = <A, E, R, A2, E2, R2>(
  effect: Effect.Effect<A, E, R>,
  end: Effect.Effect<A2, E2, R2>,
) =>
  Effect.scoped(
    Effect.flatMap(Effect.forkScoped(effect), (fiber) => Effect.raceFirst(Fiber.join(fiber), end)),
  )
