import { expect } from "bun:test"
import { Duration, Effect, TestClock } from "effect"
import { watchWhile } from "../src/watch.ts"
import { effectTest } from "./support/effect.ts"

const watched = Effect.gen(function* () {
  let things = 0
  let checks = 0
  const check = Effect.sync(() => {
    checks += 1
  })
  const begin = yield* watchWhile(
    () => things > 0,
    () => Duration.seconds(1),
    check,
  )
  return {
    add: () => {
      things += 1
      begin()
    },
    remove: () => {
      things -= 1
    },
    begin,
    checks: () => checks,
  }
})

effectTest(
  "checks every interval while there is something",
  Effect.gen(function* () {
    const { add, checks } = yield* watched
    add()
    add()
    yield* TestClock.adjust("999 millis")
    expect(checks()).toBe(0)
    yield* TestClock.adjust("1 millis")
    expect(checks()).toBe(1)
    yield* TestClock.adjust("5 seconds")
    expect(checks()).toBe(6)
  }).pipe(Effect.scoped),
)

effectTest(
  "has no timer without anything to check",
  Effect.gen(function* () {
    const { add, remove, begin, checks } = yield* watched
    yield* TestClock.adjust("5 seconds")
    expect(yield* TestClock.sleeps()).toHaveLength(0)
    begin()
    yield* TestClock.adjust("5 seconds")
    expect(yield* TestClock.sleeps()).toHaveLength(0)
    add()
    yield* TestClock.adjust("2 seconds")
    remove()
    yield* TestClock.adjust("5 seconds")
    // The last of them finds nothing more.
    expect(checks()).toBe(3)
    expect(yield* TestClock.sleeps()).toHaveLength(0)
  }).pipe(Effect.scoped),
)

effectTest(
  "begins again",
  Effect.gen(function* () {
    const { add, remove, checks } = yield* watched
    for (const before of [0, 2, 4]) {
      add()
      yield* TestClock.adjust("1 seconds")
      remove()
      yield* TestClock.adjust("10 seconds")
      expect(checks()).toBe(before + 2)
    }
  }).pipe(Effect.scoped),
)
