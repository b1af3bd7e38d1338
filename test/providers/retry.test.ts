import { describe, expect } from "bun:test"
import { Duration, Effect, Exit, Fiber, Logger, Option, TestClock } from "effect"
import {
  emptyAnswer,
  finalAnswer,
  type ProviderError,
  ProviderRateLimited,
  ProviderRefusedKey,
  ProviderRefusedRequest,
  ProviderUnusable,
  wrongAnswer,
} from "../../src/providers/errors.ts"
import { retryPolicy } from "../../src/providers/retry.ts"
import { effectTest } from "../support/effect.ts"

const seconds = (wait: number | undefined) => Option.map(Option.fromNullable(wait), Duration.seconds)

const limited = (wait?: number) => new ProviderRateLimited({ stage: "stt", retryAfter: seconds(wait) })
const unusable = (wait?: number) =>
  new ProviderUnusable({ stage: "tts", reason: "status 503", retryable: true, retryAfter: seconds(wait) })

/** How often a call that always fails so is made at all, as the clock moves on in steps of 1 s to 12 s. */
const triesOf = (error: ProviderError, policy = retryPolicy()) =>
  Effect.gen(function* () {
    const triedAt: Array<number> = []
    const call = Effect.flatMap(TestClock.currentTimeMillis, (now) => {
      triedAt.push(now)
      return Effect.fail(error)
    })
    const fiber = yield* Effect.fork(Effect.exit(Effect.retry(call, policy)))
    yield* Effect.replicateEffect(TestClock.adjust("1 second"), 12)
    expect(yield* Fiber.join(fiber)).toEqual(Exit.fail(error))
    return triedAt.map((at, index) => at - (triedAt[index - 1] ?? at))
  })

const quietly = Effect.provide(Logger.remove(Logger.defaultLogger))

describe("the pause before each further try", () => {
  const pauses = [
    ["1 s, then 2 s, give or take a fifth", wrongAnswer("llm", "no text in it"), [0.8, 1.3], [1.6, 2.5]],
    ["a longer wait that the provider asks for", limited(4), [4, 4.1], [4, 4.1]],
    ["a wait of 5 s, which is the longest", unusable(5), [5, 5.1], [5, 5.1]],
    ["not a shorter one", unusable(0.1), [0.8, 1.3], [1.6, 2.5]],
    ["not none", limited(0), [0.8, 1.3], [1.6, 2.5]],
  ] as const
  for (const [name, error, first, second] of pauses) {
    effectTest(
      name,
      Effect.gen(function* () {
        const [start, one = Number.NaN, two = Number.NaN, ...more] = yield* quietly(triesOf(error))
        expect({ start, more }).toEqual({ start: 0, more: [] })
        for (const [pause, [least, most]] of [
          [one, first],
          [two, second],
        ] as const) {
          expect(pause).toBeGreaterThanOrEqual(least * 1000)
          expect(pause).toBeLessThanOrEqual(most * 1000)
        }
      }),
    )
  }
})

effectTest(
  "an empty answer gets one more try",
  Effect.gen(function* () {
    expect(yield* quietly(triesOf(emptyAnswer("llm")))).toHaveLength(2)
  }),
)

describe("no further try", () => {
  const hopeless: ReadonlyArray<readonly [string, ProviderError]> = [
    ["where the wait is over 5 s", limited(5.1)],
    ["where it is over 5 s on a 503 too", unusable(30)],
    ["where the quota is spent", finalAnswer("llm", "no-credit", "status 429")],
    ["where the key is refused", new ProviderRefusedKey({ stage: "llm" })],
    ["where the request is refused", new ProviderRefusedRequest({ stage: "llm", message: "no" })],
    [
      "where the provider's status says that it is no use",
      new ProviderUnusable({
        stage: "llm",
        reason: "status 404",
        retryable: false,
        retryAfter: Option.none(),
      }),
    ],
  ]
  for (const [name, error] of hopeless) {
    effectTest(
      name,
      Effect.map(triesOf(error), (tries) => expect(tries).toEqual([0])),
    )
  }
})

describe("each retry is a warning", () => {
  const linesOf = Effect.fnUntraced(function* (tries: ReturnType<typeof triesOf>) {
    const lines: Array<Record<string, unknown>> = []
    const logger = Logger.make(({ annotations, logLevel }) =>
      lines.push({ level: logLevel.label, ...Object.fromEntries(annotations) }),
    )
    yield* Effect.provide(tries, Logger.replace(Logger.defaultLogger, logger))
    return lines
  })

  effectTest(
    "with its stage, its number and its pause",
    Effect.gen(function* () {
      expect(yield* linesOf(triesOf(unusable(3)))).toEqual([
        { level: "WARN", stage: "tts", attempt: 2, delayMs: 3000, reason: "status 503" },
        { level: "WARN", stage: "tts", attempt: 3, delayMs: 3000, reason: "status 503" },
      ])
    }),
  )

  effectTest(
    "and one that is not made is none",
    Effect.gen(function* () {
      const none = retryPolicy(() => false)
      expect(yield* linesOf(triesOf(unusable(), none))).toEqual([])
      expect(yield* quietly(triesOf(unusable(), none))).toEqual([0])
    }),
  )
})
