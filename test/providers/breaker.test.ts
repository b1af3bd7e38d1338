import { expect } from "bun:test"
import { Duration, Effect, Exit, Logger, Option, TestClock } from "effect"
import { makeBreaker } from "../../src/providers/breaker.ts"
import { type ProviderError, ProviderRefusedKey, timedOut, unknownTool } from "../../src/providers/errors.ts"
import { newId, TurnId } from "../../src/schema.ts"
import { effectTest } from "../support/effect.ts"

const settings = { breakerFailures: 3, breakerPause: Duration.seconds(10) }
const timeout = timedOut("stt", Duration.seconds(30))
const refused = new ProviderRefusedKey({ stage: "stt" })

const ignore = () => undefined

/** A breaker in front of a server that counts its requests. */
const make = (breakerFailures = settings.breakerFailures) => {
  const breaker = makeBreaker("stt", { ...settings, breakerFailures })
  let requests = 0
  const answer = <A>(effect: Effect.Effect<A, ProviderError>, turnId = newId(TurnId)) =>
    Effect.suspend(() =>
      breaker.guard(turnId, () =>
        Effect.suspend(() => {
          requests += 1
          return effect
        }),
      )(ignore, ignore, ignore),
    )
  const failIn = (turnId: TurnId) => Effect.flip(answer(Effect.fail(timeout), turnId))
  /** In a turn of its own. */
  const fail = Effect.suspend(() => failIn(newId(TurnId)))
  const succeed = answer(Effect.succeed("heard"))
  return { breaker, answer, failIn, fail, succeed, requests: () => requests }
}

const failThrice = ({ fail }: ReturnType<typeof make>) => Effect.repeatN(fail, 2)

effectTest(
  "opens after consecutive failures and closes with the first success after the pause",
  Effect.gen(function* () {
    const { breaker, fail, succeed, requests } = make()
    for (let n = 0; n < 3; n++) {
      expect(yield* breaker.isOpen).toBe(false)
      expect(yield* fail).toMatchObject({ reason: timeout.reason })
    }
    expect(yield* breaker.isOpen).toBe(true)
    for (let n = 0; n < 5; n++)
      expect(yield* Effect.flip(succeed)).toMatchObject({ retryable: false, stage: "stt" })
    expect(requests()).toBe(3)

    yield* TestClock.adjust("9999 millis")
    expect(yield* breaker.isOpen).toBe(true)
    yield* TestClock.adjust("1 millis")
    expect(yield* breaker.isOpen).toBe(false)
    expect(yield* succeed).toBe("heard")
    expect(yield* breaker.isOpen).toBe(false)
    expect(yield* succeed).toBe("heard")
  }),
)

effectTest(
  "lets one request through after the pause, whose failure opens it again",
  Effect.gen(function* () {
    const its = make()
    const { answer, fail, requests } = its
    yield* failThrice(its)
    yield* TestClock.adjust("10 seconds")
    const trying = yield* Effect.fork(answer(Effect.delay(Effect.fail(timeout), "5 seconds")))
    yield* TestClock.adjust("1 second")
    expect(yield* its.breaker.isOpen).toBe(true)
    expect(yield* fail).toMatchObject({ retryable: false })
    expect(requests()).toBe(4)
    yield* TestClock.adjust("4 seconds")
    expect(Exit.isFailure(yield* trying.await)).toBe(true)
    yield* TestClock.adjust("9 seconds")
    expect(yield* fail).toMatchObject({ retryable: false })
    expect(requests()).toBe(4)
  }),
)

effectTest(
  "stays half-open after an interrupted try",
  Effect.gen(function* () {
    const its = make()
    yield* failThrice(its)
    yield* TestClock.adjust("10 seconds")
    const trying = yield* Effect.fork(Effect.timeoutOption(its.answer(Effect.never), "1 second"))
    yield* TestClock.adjust("1 second")
    expect(yield* trying.await).toEqual(Exit.succeed(Option.none()))
    expect(yield* its.succeed).toBe("heard")
  }),
)

effectTest(
  "starts counting again after a success or a refusal",
  Effect.gen(function* () {
    const { breaker, answer, fail, succeed } = make()
    for (let n = 0; n < 4; n++) {
      yield* fail
      yield* fail
      yield* succeed
      yield* Effect.flip(answer(Effect.fail(refused)))
    }
    expect(yield* breaker.isOpen).toBe(false)
  }),
)

effectTest(
  "closes with the first progress of a stream, before its end",
  Effect.gen(function* () {
    const its = make()
    yield* failThrice(its)
    yield* TestClock.adjust("10 seconds")
    const streaming = its.breaker.guard(newId(TurnId), (onProgress) =>
      Effect.zipRight(Effect.sync(onProgress), Effect.sleep("1 minute")),
    )
    const trying = yield* Effect.fork(streaming(ignore, ignore, ignore))
    yield* TestClock.adjust("1 second")
    expect(yield* its.succeed).toBe("heard")
    yield* TestClock.adjust("1 minute")
    expect(Exit.isSuccess(yield* trying.await)).toBe(true)
  }),
)

effectTest(
  "closes with a refusal: the server is up",
  Effect.gen(function* () {
    const its = make()
    yield* failThrice(its)
    yield* TestClock.adjust("10 seconds")
    yield* Effect.flip(its.answer(Effect.fail(refused)))
    expect(yield* its.breaker.isOpen).toBe(false)
    expect(yield* its.succeed).toBe("heard")
  }),
)

effectTest(
  "counts one turn as three failures at most",
  Effect.gen(function* () {
    const { breaker, failIn, fail } = make(5)
    yield* Effect.repeatN(failIn(newId(TurnId)), 8)
    expect(yield* breaker.isOpen).toBe(false)
    yield* fail
    expect(yield* breaker.isOpen).toBe(false)
    yield* fail
    expect(yield* breaker.isOpen).toBe(true)
  }),
)

/** Five turns that fail once each. */
const fiveTurns = (around: (turns: Effect.Effect<unknown>) => Effect.Effect<unknown>) =>
  Effect.gen(function* () {
    const { breaker, fail } = make(5)
    yield* around(Effect.repeatN(fail, 4))
    expect(yield* breaker.isOpen).toBe(true)
  })

effectTest("opens without tracing", fiveTurns(Effect.withTracerEnabled(false)))

effectTest("opens for turns of one long span", fiveTurns(Effect.withSpan("realtime session")))

effectTest(
  "logs once that it opens and once that it closes",
  Effect.gen(function* () {
    const events: Array<unknown> = []
    const logger = Logger.make(({ message }) => events.push(message))
    yield* Effect.gen(function* () {
      const its = make()
      yield* failThrice(its)
      yield* TestClock.adjust("10 seconds")
      yield* its.fail
      yield* TestClock.adjust("10 seconds")
      yield* its.succeed
      yield* its.succeed
    }).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
    expect(events.flat()).toEqual(["provider.circuit_opened", "provider.circuit_closed"])
  }),
)

effectTest(
  "never opens with 0 failures",
  Effect.gen(function* () {
    const { fail, requests } = make(0)
    yield* Effect.repeatN(fail, 49)
    expect(requests()).toBe(50)
  }),
)

effectTest(
  "stays closed for calls of unknown tools",
  Effect.gen(function* () {
    const { breaker, answer } = make()
    for (let n = 0; n < 5; n++) yield* Effect.flip(answer(Effect.fail(unknownTool())))
    expect(yield* breaker.isOpen).toBe(false)
  }),
)
