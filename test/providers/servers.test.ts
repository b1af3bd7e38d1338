import { describe, expect } from "bun:test"
import { Cause, Duration, Effect, Exit, Fiber, Option, TestClock } from "effect"
import {
  asUnserved,
  type ProviderError,
  ProviderRateLimited,
  ProviderRefusedKey,
  ProviderRefusedRequest,
  timedOut,
  wrongAnswer,
} from "../../src/providers/errors.ts"
import type { Served } from "../../src/providers/served.ts"
import { makeServers } from "../../src/providers/servers.ts"
import { newId, TurnId } from "../../src/schema.ts"
import { effectTest } from "../support/effect.ts"
import { serverSettings } from "../support/openai-client.ts"

const server = (name: string, model: string) =>
  serverSettings(`http://${name}/v1`, { model, timeout: Duration.millis(100) })

type Answer = (onProgress: () => void) => Effect.Effect<string, ProviderError>

/** A first server and a fallback with these answers, and who was asked for which model. */
const make = Effect.fnUntraced(function* (
  first: Answer,
  second: Answer,
  { fallbackModel = "small", breakerFailures = 0, isSupervised = false } = {},
) {
  const asked: Array<string> = []
  const served: Array<Served> = []
  const refusals: Array<string | undefined> = []
  const servers = yield* makeServers(
    "llm",
    { ...server("first", "small"), fallback: Option.some(server("second", fallbackModel)) },
    { breakerFailures, breakerPause: Duration.seconds(10) },
    ({ baseUrl }) => {
      const isFirst = Option.contains(baseUrl, "http://first/v1")
      const call = (model: string, onProgress: () => void) => {
        asked.push(`${isFirst ? "first" : "second"} ${model}`)
        return isFirst ? first(onProgress) : second(onProgress)
      }
      return Effect.succeed({ call, isSupervised: isFirst && isSupervised })
    },
  )
  const ask = Effect.suspend(() =>
    servers.attempt(
      {
        turnId: newId(TurnId),
        model: "large",
        onRequest: (by: Served) => void served.push(by),
        onUnserved: () => void refusals.push(served.at(-1)?.model),
      },
      (call, { model }, onProgress) => call(model, onProgress),
    ),
  )
  return { ask, asked, served, refusals, status: servers.status }
})

/** In a span, Effect wraps errors. */
const unwrapped = <A>(exit: Exit.Exit<A, ProviderError>) => Exit.mapError(exit, Cause.originalError)

const broken = wrongAnswer("llm", "scripted")
const fail = (error: ProviderError) => () => Effect.fail(error)
const well: Answer = () => Effect.succeed("the second's")

describe("the fallback", () => {
  for (const error of [
    broken,
    new ProviderRefusedKey({ stage: "llm" }),
    new ProviderRateLimited({ stage: "llm", retryAfter: Option.none() }),
  ]) {
    effectTest(
      `answers in the same try after ${error._tag}`,
      Effect.gen(function* () {
        const { ask, asked } = yield* make(fail(error), well)
        expect(yield* ask).toBe("the second's")
        expect(asked).toEqual(["first large", "second large"])
      }),
    )
  }

  effectTest(
    "and the first server are named to who pays, each before its request",
    Effect.gen(function* () {
      const { ask, served } = yield* make(fail(broken), well, { fallbackModel: "tiny" })
      yield* ask
      expect(served).toEqual([
        { model: "large", isLocal: false },
        { model: "tiny", isLocal: false },
      ])
    }),
  )

  effectTest(
    "is paid with the first server, unless one refused the request",
    Effect.gen(function* () {
      const refused = new ProviderRateLimited({ stage: "llm", retryAfter: Option.none() })
      const one = yield* make(fail(refused), well, { fallbackModel: "tiny" })
      yield* one.ask
      expect(one.refusals).toEqual(["large"])
      const other = yield* make(fail(broken), fail(asUnserved(broken)), { fallbackModel: "tiny" })
      yield* Effect.exit(other.ask)
      expect(other.refusals).toEqual(["tiny"])
      const slow = yield* make(() => Effect.never, well)
      const answer = yield* Effect.fork(slow.ask)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(answer)
      expect(slow.refusals).toEqual([])
    }),
  )

  effectTest(
    "is asked for its own model, where it has one",
    Effect.gen(function* () {
      const { ask, asked } = yield* make(fail(broken), well, { fallbackModel: "tiny" })
      yield* ask
      expect(asked).toEqual(["first large", "second tiny"])
    }),
  )

  effectTest(
    "is asked after the time-out of the first server, and has a time-out of its own",
    Effect.gen(function* () {
      const never = () => Effect.never
      const { ask, asked } = yield* make(never, never)
      const fiber = yield* Effect.fork(ask)
      yield* TestClock.adjust("100 millis")
      expect(asked).toEqual(["first large", "second large"])
      yield* TestClock.adjust("99 millis")
      expect(yield* Fiber.poll(fiber)).toEqual(Option.none())
      yield* TestClock.adjust("1 millis")
      expect(unwrapped(yield* fiber.await)).toEqual(Exit.fail(timedOut("llm", Duration.millis(100))))
    }),
  )

  effectTest(
    "is not asked when the first server gave something useful",
    Effect.gen(function* () {
      const breaksOff: Answer = (onProgress) => Effect.zipRight(Effect.sync(onProgress), Effect.fail(broken))
      const { ask, asked } = yield* make(breaksOff, well)
      expect(unwrapped(yield* Effect.exit(ask))).toEqual(Exit.fail(broken))
      expect(asked).toEqual(["first large"])
    }),
  )

  effectTest(
    "is not asked when the request is wrong",
    Effect.gen(function* () {
      const refused = new ProviderRefusedRequest({ stage: "llm", message: "No." })
      const { ask, asked } = yield* make(fail(refused), well)
      expect(unwrapped(yield* Effect.exit(ask))).toEqual(Exit.fail(refused))
      expect(asked).toEqual(["first large"])
    }),
  )

  effectTest(
    "is asked alone while the breaker of the first server is open; failing is both",
    Effect.gen(function* () {
      let isWell = true
      const second: Answer = (onProgress) => (isWell ? well(onProgress) : Effect.fail(broken))
      const { ask, asked, status } = yield* make(fail(broken), second, { breakerFailures: 2 })
      yield* ask
      yield* ask
      asked.length = 0
      yield* ask
      expect(asked).toEqual(["second large"])
      expect(yield* status).toBe("degraded")
      isWell = false
      yield* Effect.exit(ask)
      yield* Effect.exit(ask)
      expect(yield* status).toBe("failing")
    }),
  )
})

describe("a supervised server", () => {
  effectTest(
    "has no circuit breaker, and its fallback has one",
    Effect.gen(function* () {
      const { ask, asked, status } = yield* make(fail(broken), fail(broken), {
        breakerFailures: 2,
        isSupervised: true,
      })
      for (let turn = 0; turn < 5; turn++) yield* Effect.flip(ask)
      expect(asked.filter((request) => request.startsWith("first")).length).toBe(5)
      expect(asked.filter((request) => request.startsWith("second")).length).toBe(2)
      expect(yield* status).toBe("ok")
    }),
  )

  effectTest(
    "is not asked again after a time-out",
    Effect.gen(function* () {
      const { ask } = yield* make(() => Effect.never, fail(broken), { isSupervised: true })
      const alone = yield* makeServers(
        "tts",
        { ...server("own", "small"), fallback: Option.none() },
        { breakerFailures: 1, breakerPause: Duration.seconds(10) },
        () => Effect.succeed({ call: Effect.never, isSupervised: true }),
      )
      const error = yield* Effect.fork(
        Effect.flip(alone.attempt({ turnId: newId(TurnId), model: "small" }, (call) => call)),
      )
      const both = yield* Effect.fork(Effect.flip(ask))
      yield* TestClock.adjust("1 seconds")
      expect(yield* Fiber.join(error)).toMatchObject({ reason: "no answer within 0.1 s", retryable: false })
      expect(Cause.originalError(yield* Fiber.join(both))).toEqual(broken)
    }),
  )
})
