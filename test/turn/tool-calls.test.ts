import { describe, expect } from "bun:test"
import { Cause, Duration, Effect, Exit, Fiber, Option, TestClock } from "effect"
import { newItem } from "../../src/conversation/item.ts"
import { wrongAnswer } from "../../src/providers/errors.ts"
import { noTools } from "../../src/providers/tools.ts"
import { newId, TurnId } from "../../src/schema.ts"
import type { TurnEvent } from "../../src/turn/events.ts"
import type { TurnRequest } from "../../src/turn/request.ts"
import { effectTest } from "../support/effect.ts"
import {
  agent,
  converse,
  type FakeScript,
  makeFakeTurns,
  requestOf,
  streamed,
  tenth,
  whole,
} from "../support/fake-turns.ts"

const calling = {
  ...noTools,
  tools: [{ name: "weather", description: Option.none(), parameters: { type: "object" } }],
}
const withTools = (options: Parameters<typeof requestOf>[0] = {}): TurnRequest => ({
  ...requestOf(options),
  agent: (own) => ({ ...own, calling }),
})
const oslo = { callId: "call_1", name: "weather", arguments: '{"city":"Oslo"}' }
const rome = { callId: "call_2", name: "weather", arguments: '{"city":"Rome"}' }
const words = "Let me look that up."

/** A turn whose client stays to its end. */
const run = Effect.fnUntraced(function* (script: FakeScript, request = withTools()) {
  const fakes = yield* makeFakeTurns(script)
  const call = yield* converse(fakes.turns, request)
  yield* TestClock.adjust("70 seconds")
  const exit = yield* Effect.flatten(Fiber.join(call.end)).pipe(Effect.exit)
  yield* call.leave
  const failure = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined
  return { ...fakes, ...call, failure }
})

const callsIn = (events: ReadonlyArray<TurnEvent>) =>
  events.flatMap((event) => (event._tag === "ToolCalled" ? [event] : []))

const shown = (items: ReadonlyArray<Pick<ReturnType<typeof newItem>, "payload">>) =>
  items.map(({ payload }) => {
    switch (payload.type) {
      case "message":
        return `${payload.role}: ${payload.text}`
      case "tool_call":
        return `call ${payload.callId} ${payload.name} ${payload.arguments}`
      default:
        return payload.type
    }
  })
const savedBy = ({
  saved,
}: {
  readonly saved: ReadonlyArray<{ readonly items: Parameters<typeof shown>[0] }>
}) => shown(saved[0]?.items ?? [])
const call = (one: typeof oslo) => `call ${one.callId} ${one.name} ${one.arguments}`

describe("a turn whose model calls tools", () => {
  effectTest(
    "speaks the words before the call at once, and completes",
    Effect.gen(function* () {
      const { turn, tags, events, failure, ...fakes } = yield* run({
        thinks: [{ chunks: [{ text: words }], calls: [{ ...oslo, afterMs: 3000 }, rome] }],
      })
      expect(failure).toBeUndefined()
      expect(tags()).toEqual([
        "Started",
        "Heard",
        "TextDelta",
        "Audio",
        "ToolCalled",
        "ToolCalled",
        "Completed",
      ])
      const [audio, called] = ["Audio", "ToolCalled"].map(
        (tag) => events.find(({ _tag }) => _tag === tag)?.at ?? 0,
      )
      expect((called ?? 0) - (audio ?? 0)).toBe(3000)
      expect(callsIn(events)).toMatchObject([oslo, rome])
      expect(savedBy(fakes)).toEqual([
        "user: What is the weather?",
        `assistant: ${words}`,
        call(oslo),
        call(rome),
      ])
      expect(fakes.saved[0]).toMatchObject({ state: "completed", response: words })
      expect(fakes.saved[0]?.items.slice(2).map(({ id }) => id)).toEqual(
        callsIn(events).map(({ itemId }) => itemId),
      )
      expect(turn.state()).toMatchObject({ round: { endReason: Option.some("tools"), text: words } })
    }),
  )

  effectTest(
    "and says nothing has no message and no speech",
    Effect.gen(function* () {
      for (const output of [streamed, whole, { ...streamed, format: "none" as const }]) {
        const { turn, events, failure, ...fakes } = yield* run(
          { thinks: [{ calls: [oslo] }] },
          withTools({ output }),
        )
        expect(failure).toBeUndefined()
        expect(fakes.spoken).toEqual([])
        expect(savedBy(fakes)).toEqual(["user: What is the weather?", call(oslo)])
        expect(fakes.saved[0]).toMatchObject({ state: "completed", response: "" })
        // A client that gets all at the end reads the state.
        expect(callsIn(events)).toHaveLength(output.streaming ? 1 : 0)
        expect(turn.state().round.calls).toMatchObject([oslo])
      }
    }),
  )

  effectTest(
    "passes the agent's tools to the model",
    Effect.gen(function* () {
      const { prompts } = yield* run({ thinks: [{ calls: [oslo] }] })
      expect(prompts[0]?.prompt).toMatchObject(calling)
    }),
  )

  effectTest(
    "counts the tokens of the call if the provider does not",
    Effect.gen(function* () {
      const { saved } = yield* run({ thinks: [{ calls: [oslo] }] })
      expect(saved[0]?.usage.outputTokens).toBe(Math.ceil((oslo.name.length + oslo.arguments.length) / 4))
    }),
  )

  effectTest(
    "has its output in time with the call",
    Effect.gen(function* () {
      const { failure } = yield* run({
        thinks: [{ chunks: [{ text: words }], calls: [oslo] }],
        speaks: [{ chunks: [{ afterMs: Duration.toMillis(agent.firstOutputTimeout) + 1, bytes: tenth }] }],
      })
      expect(failure).toBeUndefined()
    }),
  )
})

describe("a round that fails", () => {
  const broken = wrongAnswer("llm", "broken off")

  effectTest(
    "before its end has made no call, and is tried again",
    Effect.gen(function* () {
      const { events, prompts, ...fakes } = yield* run({
        thinks: [{ calls: [oslo], fail: broken }, { calls: [rome] }],
      })
      expect(prompts).toHaveLength(2)
      expect(callsIn(events)).toMatchObject([rome])
      expect(savedBy(fakes)).toEqual(["user: What is the weather?", call(rome)])
    }),
  )

  effectTest(
    "after words that were sent is not tried again, and its call is not made",
    Effect.gen(function* () {
      const { events, prompts, failure } = yield* run({
        thinks: [
          { chunks: [{ text: words }], calls: [{ ...oslo, afterMs: 2000 }], fail: broken },
          { calls: [rome] },
        ],
      })
      expect(prompts).toHaveLength(1)
      expect(failure).toMatchObject({ reason: "broken off" })
      expect(callsIn(events)).toEqual([])
    }),
  )

  effectTest(
    "of another tool than the one that it must call is tried once more",
    Effect.gen(function* () {
      const unknown = { ...oslo, name: "launch" }
      const forced = {
        ...requestOf({}),
        agent: (own: typeof agent) => ({ ...own, calling: { ...calling, toolChoice: { name: "weather" } } }),
      }
      const twice = yield* run({ thinks: [{ calls: [unknown] }, { calls: [rome] }] }, forced)
      expect(callsIn(twice.events)).toMatchObject([rome])
      const always = yield* run({ thinks: [{ calls: [unknown] }] }, forced)
      expect(always.prompts).toHaveLength(2)
      expect(always.failure).toMatchObject({ kind: "unknown-tool" })
      expect(always.saved).toEqual([])
    }),
  )

  effectTest(
    "in its speech after a call was passed on keeps the call",
    Effect.gen(function* () {
      const { events, prompts, failure, ...fakes } = yield* run({
        thinks: [{ chunks: [{ text: words }], calls: [oslo] }],
        speaks: [{ fail: wrongAnswer("tts", "mute"), chunks: [{ afterMs: 1000, bytes: new Uint8Array() }] }],
      })
      expect(failure).toMatchObject({ stage: "tts" })
      expect(prompts).toHaveLength(1)
      expect(callsIn(events)).toHaveLength(1)
      expect(savedBy(fakes)).toContain(call(oslo))
      expect(fakes.saved[0]?.state).toBe("interrupted")
    }),
  )
})

describe("a turn that is cut short behind a call", () => {
  const long = { chunks: [{ bytes: tenth }, { afterMs: 60_000, bytes: tenth }] }
  const script = { thinks: [{ chunks: [{ text: words }], calls: [oslo] }], speaks: [long] }

  effectTest(
    "by its user keeps the call, whatever was heard",
    Effect.gen(function* () {
      for (const playedMs of [0, 50]) {
        const fakes = yield* makeFakeTurns(script)
        const { turn, events, end, leave } = yield* converse(fakes.turns, withTools())
        yield* TestClock.adjust("1 second")
        expect(callsIn(events)).toHaveLength(1)
        yield* turn.interrupt({ playedMs })
        yield* Fiber.join(end)
        yield* leave
        expect(savedBy(fakes)).toEqual(["user: What is the weather?", "assistant: ", call(oslo)])
        expect(fakes.saved[0]?.state).toBe("interrupted")
      }
    }),
  )

  effectTest(
    "by a client that left keeps the call",
    Effect.gen(function* () {
      const fakes = yield* makeFakeTurns({ ...script, thinks: [{ calls: [oslo] }], saveMs: 5000 })
      const { events, leave } = yield* converse(fakes.turns, withTools())
      yield* TestClock.adjust("1 second")
      expect(callsIn(events)).toHaveLength(1)
      const left = yield* Effect.fork(leave)
      yield* TestClock.adjust("20 seconds")
      yield* Fiber.join(left)
      expect(savedBy(fakes)).toEqual(["user: What is the weather?", call(oslo)])
    }),
  )

  effectTest(
    "before the call has none",
    Effect.gen(function* () {
      const fakes = yield* makeFakeTurns({
        thinks: [{ chunks: [{ text: words }], calls: [{ ...oslo, afterMs: 5000 }] }],
      })
      const { turn, leave } = yield* converse(fakes.turns, withTools())
      yield* TestClock.adjust("1 second")
      yield* turn.interrupt({ playedMs: 100 })
      yield* leave
      expect(savedBy(fakes)).toEqual(["user: What is the weather?", `assistant: ${words}`])
    }),
  )
})

effectTest(
  "the next prompt has the calls with their results, and says what was interrupted",
  Effect.gen(function* () {
    const turnId = newId(TurnId)
    const item = (...made: Parameters<typeof newItem>) => ({
      turnId,
      createdAt: new Date(0),
      ...newItem(...made),
    })
    const { prompts } = yield* run({
      history: [
        item({ type: "message", role: "user", text: "How is Oslo?" }),
        item({ type: "message", role: "assistant", text: "Let me" }, { interrupted: true }),
        item({ type: "tool_call", ...oslo }),
        item({ type: "message", role: "user", text: "Hurry." }),
        item({ type: "tool_call", ...rome }),
        item({ type: "tool_result", callId: oslo.callId, output: "Sun." }),
      ],
    })
    expect(prompts[0]?.prompt.messages).toEqual([
      { role: "user", content: "How is Oslo?" },
      { role: "assistant", content: "Let me" },
      { role: "note", content: expect.stringContaining("interrupted") },
      { role: "assistant", content: "", toolCalls: [oslo] },
      { role: "tool", callId: oslo.callId, content: "Sun." },
      { role: "user", content: "Hurry." },
      { role: "assistant", content: "", toolCalls: [rome] },
      { role: "tool", callId: rome.callId, content: expect.stringContaining("unknown") },
      { role: "user", content: "What is the weather?" },
    ])
  }),
)
