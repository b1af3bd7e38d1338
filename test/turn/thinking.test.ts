import { describe, expect } from "bun:test"
import { Cause, Effect, Exit, Fiber, Option, TestClock } from "effect"
import { newItem } from "../../src/conversation/item.ts"
import { newId, TurnId } from "../../src/schema.ts"
import { replyOf } from "../../src/turn/state.ts"
import { effectTest } from "../support/effect.ts"
import { converse, makeFakeTurns, requestOf, streamed, tenth, whole } from "../support/fake-turns.ts"
import { heardReply } from "../support/heard.ts"

const thinking = "Okay, the user wants to know the weather of today. I look out of the window."
const reply = "It is sunny and warm."
/** The chat template opened the thinking. */
const openThinker = {
  chunks: [
    { text: `${thinking} ` },
    { afterMs: 2000, text: "</th" },
    { text: `ink>\n\n${reply} ` },
    { afterMs: 100, text: "Enjoy the day outside." },
  ],
}
const silent = { format: "none", streamsText: false, streaming: false } as const

type Fakes = Effect.Effect.Success<ReturnType<typeof makeFakeTurns>>

/** A turn whose client stays to its end. */
const take = Effect.fnUntraced(function* ({ turns }: Fakes, output = whole) {
  const call = yield* converse(turns, requestOf({ output }))
  yield* TestClock.adjust("10 seconds")
  const exit = yield* Effect.flatten(Fiber.join(call.end)).pipe(Effect.exit)
  yield* call.leave
  const failure = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined
  return { ...call, failure }
})

describe("a reply that begins with its thinking, whose opening tag is in the prompt", () => {
  effectTest(
    "is spoken, sent and saved without it, from one request",
    Effect.gen(function* () {
      const fakes = yield* makeFakeTurns({ thinks: [openThinker] })
      const { turn, failure } = yield* take(fakes)
      expect(failure).toBeUndefined()
      expect(fakes.prompts).toHaveLength(1)
      expect(turn.state()).toMatchObject({ round: { text: `${reply} Enjoy the day outside.` } })
      expect(fakes.saved[0]).toMatchObject({
        state: "completed",
        response: `${reply} Enjoy the day outside.`,
      })
      expect(turn.state().audioMs).toBe(200)
      expect(fakes.spoken.slice(-2).map(({ text }) => text)).toEqual([reply, "Enjoy the day outside."])
    }),
  )

  effectTest(
    "waits in the next turn, so that a client that gets the text at once does not get the thinking",
    Effect.gen(function* () {
      const fakes = yield* makeFakeTurns({ thinks: [openThinker] })
      yield* take(fakes)
      const spokenBefore = fakes.spoken.length
      const { text, audioBytes } = yield* take(fakes, streamed)
      expect(text()).toBe(`${reply} Enjoy the day outside.`)
      expect(audioBytes()).toBe(2 * tenth.length)
      expect(fakes.spoken.slice(spokenBefore).map(({ text }) => text)).toEqual([
        reply,
        "Enjoy the day outside.",
      ])
    }),
  )

  effectTest(
    "is written without it, where the reply is not spoken",
    Effect.gen(function* () {
      const fakes = yield* makeFakeTurns({ thinks: [openThinker] })
      const { turn } = yield* take(fakes, silent)
      expect(replyOf(turn.state())).toBe(`${reply} Enjoy the day outside.`)
      expect(fakes.spoken).toEqual([])
    }),
  )

  effectTest(
    "goes on, where the client has already got some of it",
    Effect.gen(function* () {
      const fakes = yield* makeFakeTurns({ thinks: [openThinker] })
      const { text, failure, turn } = yield* take(fakes, streamed)
      expect(failure).toBeUndefined()
      expect(text()).toBe(`${thinking} ${reply} Enjoy the day outside.`)
      // The thinking is neither saved nor shown to the model again.
      expect(fakes.saved[0]).toMatchObject({
        state: "completed",
        response: `${reply} Enjoy the day outside.`,
      })
      const state = turn.state()
      expect(heardReply(state, { playedMs: state.audioMs }).text).toBe(`${reply} Enjoy the day outside.`)
      expect(heardReply(state, { playedMs: 100 }).text).toBe("")
    }),
  )

  effectTest(
    "still waits after a reply without thinking, and no longer after twenty",
    Effect.gen(function* () {
      const plain = { chunks: [{ text: "Plain and short. " }, { afterMs: 1000, text: "The end is here." }] }
      const fakes = yield* makeFakeTurns({ thinks: [openThinker, plain, openThinker, plain] })
      const deltas = (events: ReadonlyArray<{ readonly _tag: string }>) =>
        events.filter(({ _tag }) => _tag === "TextDelta").length
      yield* take(fakes)
      const held = yield* take(fakes, streamed)
      expect(held.text()).toBe("Plain and short. The end is here.")
      expect(deltas(held.events)).toBe(1)
      expect((yield* take(fakes, streamed)).text()).toBe(`${reply} Enjoy the day outside.`)
      for (let i = 0; i < 20; i++) expect(deltas((yield* take(fakes, streamed)).events)).toBe(1)
      expect(deltas((yield* take(fakes, streamed)).events)).toBe(2)
    }),
  )

  effectTest(
    "is known by its closing tag alone, also in the midst of a line",
    Effect.gen(function* () {
      const inLine = { chunks: [{ text: "I say that so </th" }, { text: "ink> in the end. " }] }
      const fakes = yield* makeFakeTurns({ thinks: [openThinker, inLine] })
      yield* take(fakes)
      expect((yield* take(fakes, streamed)).text()).toBe("in the end. ")
    }),
  )
})

effectTest(
  "a model that only thinks fails once, and says so",
  Effect.gen(function* () {
    for (const text of ["<think>Hm.", "<think>Hm.</think>", "[THINK]Hm."]) {
      const fakes = yield* makeFakeTurns({ thinks: [{ chunks: [{ text }], end: "length" }] })
      const { failure } = yield* take(fakes)
      expect(failure).toMatchObject({ kind: "thinking", retryable: false })
      expect(fakes.prompts).toHaveLength(1)
    }
  }),
)

effectTest(
  "the model does not see the thinking of replies that were saved with it",
  Effect.gen(function* () {
    const earlier = { turnId: newId(TurnId), createdAt: new Date(0) }
    const fakes = yield* makeFakeTurns({
      history: [
        { ...earlier, ...newItem({ type: "message", role: "user", text: "What does <think> do?" }) },
        {
          ...earlier,
          ...newItem({ type: "message", role: "assistant", text: `<think>Hm.</think>\n${reply}` }),
        },
      ],
    })
    yield* take(fakes)
    expect(fakes.prompts[0]?.prompt.messages.map(({ content }) => content)).toEqual([
      "What does <think> do?",
      reply,
      "What is the weather?",
    ])
  }),
)

effectTest(
  "half a surrogate pair reaches neither a provider nor the client",
  Effect.gen(function* () {
    const chunks = [{ text: "Fine \ud83d" }, { text: "\ude00. And \ude00 so on \ud83d" }]
    const fakes = yield* makeFakeTurns({ thinks: [{ chunks }] })
    const { text } = yield* take(fakes, streamed)
    expect(text()).toBe("Fine \u{1f600}. And \ufffd so on \ufffd")
    expect(fakes.spoken.every(({ text }) => text.isWellFormed())).toBe(true)
  }),
)
