import { describe, expect } from "bun:test"
import { Cause, Effect, Exit, Fiber, Option, Scope, TestClock } from "effect"
import type { PriceTable } from "../../src/config/prices.ts"
import { newItem } from "../../src/conversation/item.ts"
import { wrongAnswer } from "../../src/providers/errors.ts"
import { newId, noUsage, TurnId } from "../../src/schema.ts"
import { fromResults } from "../../src/turn/input.ts"
import { QuotaExceeded } from "../../src/usage/spending.ts"
import { effectTest } from "../support/effect.ts"
import { converse, type FakeScript, loud, makeFakeTurns, requestOf } from "../support/fake-turns.ts"

const prices: PriceTable = {
  currency: "USD",
  models: {
    ears: { perAudioSecond: 0.001 },
    brain: { perMillionInputTokens: 1, perMillionOutputTokens: 10 },
    mouth: { perMillionCharacters: 100 },
  },
}
const exceeded = new QuotaExceeded({ limit: 5, currency: "USD", resetsAt: new Date(0), retryAfter: 60 })
const mayNot = () => exceeded

const run = Effect.fnUntraced(function* (script: FakeScript, request = requestOf({ input: loud })) {
  const fakes = yield* makeFakeTurns({ prices, ...script })
  const call = yield* converse(fakes.turns, request)
  yield* TestClock.adjust("2 minutes")
  const exit = yield* Effect.exit(Effect.flatten(Fiber.join(call.end)))
  yield* call.leave
  const failure = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined
  return { ...fakes, ...call, failure }
})

const thinks = [{ chunks: [{ text: "Hello there." }], usage: { inputTokens: 100, outputTokens: 10 } }]
/** Of the recording and of one round. */
const [heardNanos, thoughtNanos, spokenNanos] = [1e6, 200_000, 12 * 100_000]

describe("a user who may spend no more", () => {
  effectTest(
    "gets no turn, and no provider is asked",
    Effect.gen(function* () {
      const turn = yield* run({ mayPay: mayNot })
      expect(turn.failure).toMatchObject({ _tag: "QuotaExceeded", limit: 5 })
      expect([turn.heardSpeech, turn.prompts, turn.spoken]).toEqual([[], [], []])
      expect(turn.tags()).toEqual(["Started"])
      expect(turn.failed).toMatchObject([
        { usage: { audioSeconds: 0, inputTokens: 0 }, bill: { nanos: 0 }, isRefused: true },
      ])
    }),
  )

  effectTest(
    "keeps the results of tools for another try, also if the answer of the database takes a while",
    Effect.gen(function* () {
      const called = newId(TurnId)
      const call = newItem({ type: "tool_call", callId: "door", name: "open_door", arguments: "{}" })
      const turn = yield* run(
        {
          mayPay: () => Effect.delay(exceeded, "1 second"),
          history: [{ ...call, turnId: called, createdAt: new Date(0) }],
        },
        requestOf({ input: fromResults(called, [{ callId: "door", output: "Open.", isError: false }]) }),
      )
      expect(turn.failure).toMatchObject({ _tag: "QuotaExceeded" })
      expect(turn.saved).toEqual([])
      expect(turn.failed).toMatchObject([{ isRefused: true }])
    }),
  )

  effectTest(
    "gets no answer that begins early, and none aside",
    Effect.gen(function* () {
      const fakes = yield* makeFakeTurns({ prices, mayPay: mayNot })
      const early = yield* fakes.turns.speculate(requestOf())
      yield* fakes.turns.aside(requestOf())
      yield* TestClock.adjust("1 minute")
      expect(yield* early.adopt({ items: [], saved: Effect.void })).toBe(false)
      expect(fakes.prompts).toEqual([])
    }).pipe(Effect.scoped),
  )
})

describe("the bill of a turn", () => {
  effectTest(
    "has every stage",
    Effect.gen(function* () {
      const { saved } = yield* run({ thinks })
      expect(saved[0]?.bill?.nanos).toBeCloseTo(heardNanos + thoughtNanos + spokenNanos, 3)
      expect(saved[0]?.bill?.models.map(({ stage, model }) => `${stage} ${model}`).toSorted()).toEqual([
        "llm brain",
        "stt ears",
        "tts mouth",
      ])
    }),
  )

  effectTest(
    "has the tries that failed",
    Effect.gen(function* () {
      const [thought] = thinks
      const broken = { chunks: [{ text: "Hel" }], fail: wrongAnswer("llm", "scripted") }
      const output = { format: "none", streamsText: false, streaming: false } as const
      const { saved } = yield* run(
        { thinks: [broken, thought ?? broken] },
        requestOf({ input: loud, output }),
      )
      const tokens = saved[0]?.usage
      expect(tokens?.inputTokens).toBeGreaterThan(100)
      expect(saved[0]?.bill?.nanos).toBeCloseTo(
        heardNanos + (tokens?.inputTokens ?? 0) * 1000 + (tokens?.outputTokens ?? 0) * 10_000,
        3,
      )
    }),
  )

  effectTest(
    "has the prompt of an answer that nobody waited for",
    Effect.gen(function* () {
      const silent = [{ chunks: [{ afterMs: Number.POSITIVE_INFINITY, text: "Hello." }] }]
      const estimated = [{ stage: "llm", model: "brain", isEstimated: true }]
      const left = yield* makeFakeTurns({ prices, thinks: silent })
      const call = yield* converse(left.turns, requestOf())
      yield* TestClock.adjust("1 second")
      yield* call.leave
      const early = yield* makeFakeTurns({ prices, thinks: silent })
      const scope = yield* Scope.make()
      yield* Scope.extend(early.turns.speculate(requestOf()), scope)
      yield* TestClock.adjust("1 second")
      yield* Scope.close(scope, Exit.void)
      for (const { failed, prompts } of [left, early]) {
        expect(prompts).toHaveLength(1)
        const [{ usage, bill } = { usage: noUsage, bill: undefined }] = failed
        expect(usage.inputTokens).toBeGreaterThan(0)
        expect(usage.outputTokens).toBe(0)
        expect(bill?.nanos).toBe(usage.inputTokens * 1000)
        expect(bill?.models).toMatchObject(estimated)
      }
    }),
  )

  effectTest(
    "is unknown without a price",
    Effect.gen(function* () {
      const { saved } = yield* run({
        thinks,
        prices: { ...prices, models: { brain: prices.models.brain ?? {} } },
      })
      expect(saved[0]?.bill?.nanos).toBeNull()
    }),
  )
})
