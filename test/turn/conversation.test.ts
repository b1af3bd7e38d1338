import { describe, expect } from "bun:test"
import { Effect, Exit, Fiber, Option, TestClock } from "effect"
import { newItem } from "../../src/conversation/item.ts"
import { ProviderRefusedRequest } from "../../src/providers/errors.ts"
import { ItemId, newId, SessionId, TurnId } from "../../src/schema.ts"
import type { OutputOptions } from "../../src/turn/events.ts"
import { fromConversation } from "../../src/turn/input.ts"
import { SessionTarget, type TurnRequest } from "../../src/turn/request.ts"
import { effectTest } from "../support/effect.ts"
import {
  agent,
  converse,
  type FakeScript,
  makeFakeTurns,
  requestOf,
  sentences,
  streamed,
  tenth,
  textOf,
} from "../support/fake-turns.ts"

const [first = "", second = "", third = ""] = sentences
const reply = `${sentences.join(" ")} `
const speech = { chunks: [{ bytes: tenth }] }
const never = { chunks: [{ afterMs: Number.POSITIVE_INFINITY, bytes: tenth }] }
const written: OutputOptions = { ...streamed, format: "none" }

const said = (role: "user" | "assistant", text: string) => ({
  ...newItem({ type: "message", role, text }),
  turnId: newId(TurnId),
  createdAt: new Date(),
})
const history = [said("user", "My name is Ada."), said("assistant", "Hello Ada."), said("user", "Who am I?")]
const itemIds = { user: newId(ItemId), assistant: newId(ItemId) }

const respond = (options: Parameters<typeof requestOf>[0] = {}) =>
  requestOf({ input: fromConversation, itemIds: Option.some(itemIds), ...options })

/** A response that has run for a second. `stop` ends its client. */
const begin = Effect.fnUntraced(function* (
  script: FakeScript = {},
  request: TurnRequest = respond(),
  kind: "begin" | "aside" = "begin",
) {
  const fakes = yield* makeFakeTurns({ history, ...script })
  const call = yield* converse({ ...fakes.turns, begin: fakes.turns[kind] }, request)
  yield* TestClock.adjust("1 second")
  return { ...fakes, ...call }
})

const terminal = ({ tags }: { readonly tags: () => ReadonlyArray<string> }) =>
  tags().filter((tag) => tag === "Completed" || tag === "Interrupted")

describe("a response to the conversation", () => {
  effectTest(
    "reads the history, and adds the reply only",
    Effect.gen(function* () {
      const session = { id: newId(SessionId), isNew: false }
      const call = yield* begin({}, respond({ target: SessionTarget.Joined({ session }) }))
      yield* Fiber.join(call.end)
      expect(call.prompts.map(({ prompt }) => prompt.messages.map(({ content }) => content))).toEqual([
        ["My name is Ada.", "Hello Ada.", "Who am I?"],
      ])
      expect(call.heardSpeech).toEqual([])
      expect(call.tags()).not.toContain("Heard")
      expect(call.saved).toMatchObject([{ state: "completed", session, transcript: "", response: reply }])
      expect(call.saved[0]?.items).toMatchObject([
        {
          id: itemIds.assistant,
          payload: { role: "assistant", text: reply },
          heardMs: 300,
          interrupted: false,
        },
      ])
      yield* call.leave
    }),
  )

  effectTest(
    "changes the agent, and the context that the model sees",
    Effect.gen(function* () {
      const context = Array.from({ length: 60 }, (_, at) =>
        newItem({
          type: "message",
          role: at % 2 === 0 ? "user" : "assistant",
          text: `${at} ${"long ".repeat(40)}`,
        }),
      )
      const call = yield* begin(
        {},
        respond({
          context: Option.some(context),
          agent: (ofSession) => ({
            ...ofSession,
            instructions: `${ofSession.instructions} Rhyme.`,
            thinking: { ...ofSession.thinking, maxTokens: Option.some(7) },
          }),
        }),
      )
      yield* Fiber.join(call.end)
      expect(call.prompts).toMatchObject([
        { maxTokens: Option.some(7), prompt: { instructions: `${agent.instructions} Rhyme.` } },
      ])
      // The session's limits of the history do not shorten what the front door gave.
      expect(call.prompts[0]?.prompt.messages.slice(0, 60).map(({ content }) => content)).toEqual(
        context.map(textOf),
      )
      yield* call.leave
    }),
  )

  effectTest(
    "runs in an empty conversation",
    Effect.gen(function* () {
      const call = yield* begin({ history: [] })
      yield* Fiber.join(call.end)
      expect(call.prompts[0]?.prompt.instructions).toBe(agent.instructions)
      expect(call.saved[0]?.items.map(textOf)).toEqual([reply])
      yield* call.leave
    }),
  )

  effectTest(
    "that fails adds nothing, and its usage is saved",
    Effect.gen(function* () {
      const refused = new ProviderRefusedRequest({ stage: "llm", message: "no" })
      const call = yield* begin(
        { thinks: [{ chunks: [{ text: "O" }], fail: refused }] },
        respond({ output: { ...streamed, streamsText: false } }),
      )
      expect(Exit.isFailure(yield* Fiber.join(call.end))).toBe(true)
      expect(call.saved).toEqual([])
      expect(call.failed).toMatchObject([{ usage: { outputTokens: 1 } }])
      yield* call.turn.truncate({ playedMs: 100 })
      expect(call.truncated).toEqual([])
      yield* call.leave
    }),
  )

  effectTest(
    "that is interrupted between its first text and its first audio adds a reply of which nothing was heard",
    Effect.gen(function* () {
      const call = yield* begin({ speaks: [never] })
      yield* call.turn.interrupt({ playedMs: 0 })
      yield* Fiber.join(call.end)
      expect(terminal(call)).toEqual(["Interrupted"])
      expect(call.saved.map(({ state, items }) => [state, items.map(textOf)])).toEqual([
        ["interrupted", [""]],
      ])
      expect(call.failed).toEqual([])
      yield* call.leave
    }),
  )

  effectTest(
    "that is interrupted before any output adds nothing",
    Effect.gen(function* () {
      const thinks = [{ chunks: [{ afterMs: Number.POSITIVE_INFINITY, text: "late" }] }]
      const call = yield* begin({ thinks })
      yield* Effect.all([call.turn.interrupt({ playedMs: 0 }), call.turn.interrupt({ playedMs: 90 })], {
        concurrency: 2,
      })
      yield* Fiber.join(call.end)
      expect(terminal(call)).toEqual(["Interrupted"])
      expect(call.saved).toEqual([])
      expect(call.failed).toHaveLength(1)
      expect(call.left).toHaveLength(1)
      yield* call.turn.truncate({ playedMs: 100 })
      expect(call.truncated).toEqual([])
      yield* call.leave
    }),
  )

  effectTest(
    "of text that is interrupted keeps the text so far, without a playing time",
    Effect.gen(function* () {
      const thinks = [
        { chunks: [{ text: `${first} And` }, { afterMs: Number.POSITIVE_INFINITY, text: "more" }] },
      ]
      const call = yield* begin({ thinks }, respond({ output: written }))
      yield* call.turn.interrupt({ playedMs: 0 })
      expect(call.saved[0]?.items).toMatchObject([
        { payload: { text: `${first} And` }, interrupted: true, heardMs: null },
      ])
      yield* call.turn.truncate({ playedMs: 0 })
      expect(call.truncated).toEqual([{ text: `${first} And`, ms: null, interrupted: true }])
      yield* call.leave
    }),
  )
})

describe("truncate", () => {
  effectTest(
    "after an interruption shortens the saved reply, and lets it grow back",
    Effect.gen(function* () {
      const call = yield* begin({ speaks: [speech, speech, never] })
      yield* call.turn.interrupt({ playedMs: 0 })
      expect(call.saved).toMatchObject([{ state: "interrupted", response: reply }])
      expect(call.saved[0]?.items).toMatchObject([
        { id: itemIds.assistant, payload: { text: "" }, heardMs: 0, interrupted: true },
      ])
      for (const playedMs of [100, 8, 200, 5000]) yield* call.turn.truncate({ playedMs })
      yield* Fiber.join(call.end)
      yield* call.leave
      yield* call.turn.truncate({ playedMs: 100 })
      expect(call.truncated).toEqual([
        { text: first, ms: 100, interrupted: true },
        { text: "", ms: 8, interrupted: true },
        { text: `${first} ${second}`, ms: 200, interrupted: true },
        { text: `${first} ${second}`, ms: 200, interrupted: true },
        { text: first, ms: 100, interrupted: true },
      ])
      expect(terminal(call)).toEqual(["Interrupted"])
    }),
  )

  effectTest(
    "after the end shortens a whole reply, and makes it whole again",
    Effect.gen(function* () {
      const call = yield* begin()
      yield* Fiber.join(call.end)
      yield* call.leave
      yield* call.turn.truncate({ playedMs: 300 })
      expect(call.truncated).toEqual([])
      for (const playedMs of [100, 0, 300]) yield* call.turn.truncate({ playedMs })
      expect(call.truncated).toEqual([
        { text: first, ms: 100, interrupted: true },
        { text: "", ms: 0, interrupted: true },
        { text: reply, ms: 300, interrupted: false },
      ])
    }),
  )

  effectTest(
    "before the end waits for the save; the last call wins",
    Effect.gen(function* () {
      const call = yield* begin({
        speaks: [speech, { chunks: [{ afterMs: 5000, bytes: tenth }] }],
        saveMs: 500,
      })
      const one = yield* Effect.fork(call.turn.truncate({ playedMs: 200 }))
      yield* Effect.yieldNow()
      const two = yield* Effect.fork(call.turn.truncate({ playedMs: 100 }))
      yield* TestClock.adjust("1 second")
      expect(call.truncated).toEqual([])
      yield* TestClock.adjust("1 minute")
      yield* Effect.all([Fiber.join(one), Fiber.join(two)])
      expect(terminal(call)).toEqual(["Completed"])
      expect(call.saved).toMatchObject([{ state: "completed", items: [{ payload: { text: reply } }] }])
      expect(call.truncated.map(({ text }) => text)).toEqual([`${first} ${second}`, first])
      yield* call.leave
    }),
  )

  effectTest(
    "waits for a save that the database delays",
    Effect.gen(function* () {
      const call = yield* begin({ speaks: [speech, never], savesThatFail: 9 })
      const interrupting = yield* Effect.fork(call.turn.interrupt({ playedMs: 100 }))
      const truncating = yield* Effect.fork(call.turn.truncate({ playedMs: 0 }))
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(interrupting)
      expect(call.truncated).toEqual([])
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(truncating)
      expect(call.saved.map(({ items }) => items.map(textOf))).toEqual([[first]])
      expect(call.truncated).toEqual([{ text: "", ms: 0, interrupted: true }])
      yield* call.leave
    }),
  )

  effectTest(
    "of an interruption during the save: the reply is complete, and shortened to what was played",
    Effect.gen(function* () {
      const fakes = yield* makeFakeTurns({ history, saveMs: 500 })
      const call = yield* converse(fakes.turns, respond())
      yield* TestClock.adjust("100 millis")
      const interrupting = yield* Effect.fork(call.turn.interrupt({ playedMs: 100 }))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(interrupting)
      yield* call.turn.truncate({ playedMs: 300 })
      expect(terminal(call)).toEqual(["Completed"])
      expect(fakes.truncated).toEqual([
        { text: first, ms: 100, interrupted: true },
        { text: reply, ms: 300, interrupted: false },
      ])
      yield* call.leave
    }),
  )
})

describe("an aside", () => {
  effectTest(
    "reads the history and adds nothing; its row has the reply and the usage",
    Effect.gen(function* () {
      const call = yield* begin({}, respond({ output: written }), "aside")
      yield* Fiber.join(call.end)
      expect(call.prompts[0]?.prompt.messages.at(-1)?.content).toBe("Who am I?")
      expect(call.text()).toBe(reply)
      expect(call.saved).toMatchObject([{ state: "completed", items: [], response: reply }])
      expect(call.saved[0]?.usage.outputTokens).toBeGreaterThan(0)
      yield* call.turn.truncate({ playedMs: 0 })
      yield* call.turn.interrupt({ playedMs: 0 })
      expect(call.truncated).toEqual([])
      yield* call.leave
    }),
  )

  effectTest(
    "can be interrupted, and keeps its deadline",
    Effect.gen(function* () {
      const call = yield* begin({ speaks: [speech, never] }, respond(), "aside")
      yield* call.turn.interrupt({ playedMs: 50 })
      yield* Fiber.join(call.end)
      expect(terminal(call)).toEqual(["Interrupted"])
      expect(call.saved).toMatchObject([{ state: "interrupted", items: [], response: reply }])
      yield* call.leave

      const late = yield* begin({ speaks: [never] }, respond(), "aside")
      yield* TestClock.adjust("2 minutes")
      expect(Exit.isFailure(yield* Fiber.join(late.end))).toBe(true)
      expect(late.failed).toHaveLength(1)
      yield* late.leave
    }),
  )

  effectTest(
    "that its client leaves saves its usage",
    Effect.gen(function* () {
      const call = yield* begin({ speaks: [speech, never] }, respond(), "aside")
      yield* call.leave
      expect(call.saved).toMatchObject([{ state: "interrupted", items: [] }])
      expect(call.text()).toContain(third)
    }),
  )
})
