import { Effect, Fiber } from "effect"

/**
 * Runs in a child fiber. Where a sibling in `Effect.all` fails, this interrupts the effect even inside its own time-out,
 * which `Effect.all` alone does not. The finalizers of the effect have run when this ends, whatever ends it.
 */
export const forkJoin = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.scoped(Effect.flatMap(Effect.forkScoped(effect), Fiber.join))

/**
 * Runs the effect until it ends or `end` does. In either case, and on interruption, the finalizers of the effect have run
 * when this ends: `Effect.raceFirst` alone does not wait for them.
 */
export const runUntil = <A, E, R, A2, E2, R2>(
  effect: Effect.Effect<A, E, R>,
  end: Effect.Effect<A2, E2, R2>,
) =>
  Effect.scoped(
    Effect.flatMap(Effect.forkScoped(effect), (fiber) => Effect.raceFirst(Fiber.join(fiber), end)),
  )
