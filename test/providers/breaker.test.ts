import { expect } from "bun:test"
import { Duration, Effect, Exit, Logger, Option, TestClock } from "effect"
import { makeBreaker } from "../../src/providers/breaker.ts"
import { ProviderRefusedKey, timedOut } from "../../src/providers/errors.ts"
import { effectTest } from "../support/effect.ts"

const settings = { breakerFailures: 3, breakerPause: Duration.seconds(10) }
const silent = timedOut("stt", Duration.seconds(30))

/** A breaker, and a provider behind it that counts how often it is asked. */
const make = (breakerFailures = settings.breakerFailures) => {
  const breaker = makeBreaker("stt", { ...settings, breakerFailures })
  let asked = 0
  const ask = <A, E>(answer: Effect.Effect<A, E>) =>
    Effect.zipRight(
      Effect.sync(() => (asked += 1)),
      answer,
    )
  const inVain = Effect.flip(breaker.guard(() => ask(Effect.fail(silent))))
  /** Each in a turn of its own. */
  const fail = Effect.withSpan(inVain, "turn", { root: true })
  const succeed = breaker.guard(() => ask(Effect.succeed("heard")))
  return { breaker, inVain, fail, succeed, ask, asked: () => asked }
}

effectTest(
  "after so many failures in a row a provider is not asked, until a while later one request finds it back",
  Effect.gen(function* () {
    const { breaker, fail, succeed, asked } = make()
    for (let n = 0; n < 3; n++) {
      expect(yield* breaker.isOpen).toBe(false)
      expect(yield* fail).toMatchObject({ reason: silent.reason })
    }
    expect(yield* breaker.isOpen).toBe(true)
    for (let n = 0; n < 5; n++)
      expect(yield* Effect.flip(succeed)).toMatchObject({ retryable: false, stage: "stt" })
    expect(asked()).toBe(3)

    yield* TestClock.adjust("10 seconds")
    expect(yield* succeed).toBe("heard")
    expect(yield* breaker.isOpen).toBe(false)
    expect(yield* succeed).toBe("heard")
  }),
)

effectTest(
  "the one request that tries it is alone, and its failure closes the way again",
  Effect.gen(function* () {
    const { breaker, fail, ask, asked } = make()
    for (let n = 0; n < 3; n++) yield* fail
    yield* TestClock.adjust("10 seconds")
    const trying = yield* Effect.fork(
      breaker.guard(() => ask(Effect.delay(Effect.fail(silent), "5 seconds"))),
    )
    yield* TestClock.adjust("1 second")
    expect(yield* fail).toMatchObject({ retryable: false })
    expect(asked()).toBe(4)
    yield* TestClock.adjust("4 seconds")
    expect(Exit.isFailure(yield* trying.await)).toBe(true)
    yield* TestClock.adjust("9 seconds")
    expect(yield* fail).toMatchObject({ retryable: false })
    expect(asked()).toBe(4)
  }),
)

effectTest(
  "a try that is interrupted leaves the way open for the next",
  Effect.gen(function* () {
    const { breaker, fail, succeed } = make()
    for (let n = 0; n < 3; n++) yield* fail
    yield* TestClock.adjust("10 seconds")
    expect(
      yield* breaker
        .guard(() => Effect.never)
        .pipe(
          Effect.timeoutOption("1 second"),
          Effect.fork,
          Effect.tap(() => TestClock.adjust("1 second")),
          Effect.flatMap((fiber) => fiber.await),
        ),
    ).toEqual(Exit.succeed(Option.none()))
    expect(yield* succeed).toBe("heard")
  }),
)

effectTest(
  "a success in between, and a provider that says no, do not count",
  Effect.gen(function* () {
    const { breaker, fail, succeed, ask } = make()
    for (let n = 0; n < 4; n++) {
      yield* fail
      yield* fail
      yield* succeed
      yield* Effect.flip(breaker.guard(() => ask(Effect.fail(new ProviderRefusedKey({ stage: "stt" })))))
    }
    expect(yield* breaker.isOpen).toBe(false)
  }),
)

effectTest(
  "a try whose answer has begun lets others ask before it has ended",
  Effect.gen(function* () {
    const { breaker, fail, succeed } = make()
    for (let n = 0; n < 3; n++) yield* fail
    yield* TestClock.adjust("10 seconds")
    const trying = yield* Effect.fork(
      breaker.guard((answered) =>
        Effect.zipRight(Effect.sync(answered), Effect.delay(Effect.void, "1 minute")),
      ),
    )
    yield* TestClock.adjust("1 second")
    expect(yield* succeed).toBe("heard")
    yield* TestClock.adjust("1 minute")
    expect(Exit.isSuccess(yield* trying.await)).toBe(true)
  }),
)

effectTest(
  "a provider that says no when it is tried is there",
  Effect.gen(function* () {
    const { breaker, fail, succeed, ask } = make()
    for (let n = 0; n < 3; n++) yield* fail
    yield* TestClock.adjust("10 seconds")
    yield* Effect.flip(breaker.guard(() => ask(Effect.fail(new ProviderRefusedKey({ stage: "stt" })))))
    expect(yield* breaker.isOpen).toBe(false)
    expect(yield* succeed).toBe("heard")
  }),
)

effectTest(
  "one turn alone does not close the way for all, however many pieces of its reply fail",
  Effect.gen(function* () {
    const { breaker, inVain, fail } = make(5)
    yield* Effect.withSpan(Effect.repeatN(inVain, 8), "turn", { root: true })
    expect(yield* breaker.isOpen).toBe(false)
    yield* fail
    expect(yield* breaker.isOpen).toBe(false)
    yield* fail
    expect(yield* breaker.isOpen).toBe(true)
  }),
)

effectTest(
  "the log says when a provider is not asked, and when it is back, each once",
  Effect.gen(function* () {
    const said: Array<unknown> = []
    const logger = Logger.make(({ message }) => said.push(message))
    yield* Effect.gen(function* () {
      const { fail, succeed } = make()
      for (let n = 0; n < 3; n++) yield* fail
      yield* TestClock.adjust("10 seconds")
      yield* fail
      yield* TestClock.adjust("10 seconds")
      yield* succeed
      yield* succeed
    }).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
    expect(said.flat()).toEqual(["provider.circuit_opened", "provider.circuit_closed"])
  }),
)

effectTest(
  "0 failures: it is always asked",
  Effect.gen(function* () {
    const { fail, asked } = make(0)
    for (let n = 0; n < 50; n++) yield* fail
    expect(asked()).toBe(50)
  }),
)
