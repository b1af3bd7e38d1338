import { test } from "bun:test"
import { Effect, type Scope, TestContext, type TestServices } from "effect"

/**
 * A bun test whose body is an Effect. It runs on the test clock, which only `TestClock.adjust` moves, and in a scope
 * that closes when the test ends. `timeoutMs` is real time.
 */
export const effectTest = <A, E>(
  name: string,
  effect: Effect.Effect<A, E, Scope.Scope | TestServices.TestServices>,
  timeoutMs = 30_000,
): void =>
  test(
    name,
    () =>
      Effect.runPromise(effect.pipe(Effect.asVoid, Effect.scoped, Effect.provide(TestContext.TestContext))),
    timeoutMs,
  )
