import { describe, expect } from "bun:test"
import { Effect, Exit, Fiber, Scope } from "effect"
import { type Item, newItem } from "../../src/conversation/item.ts"
import { newId, TurnId } from "../../src/schema.ts"
import { effectTest } from "../support/effect.ts"
import { makeSession, type SessionScript } from "../support/realtime-session.ts"

const respond = { type: "response.create" }

const texts = ({ stored }: Effect.Effect.Success<ReturnType<typeof makeSession>>) =>
  stored.map(({ item: { payload } }) => ("text" in payload ? payload.text : ""))

/** A session in a scope of its own, and its end. */
const makeClosable = (script: SessionScript) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const session = yield* Scope.extend(makeSession(script), scope)
    return { ...session, close: Effect.fork(Scope.close(scope, Exit.void)) }
  })

describe("words that are transcribed when the connection breaks", () => {
  effectTest(
    "are saved, and not answered",
    Effect.gen(function* () {
      const session = yield* makeClosable({ transcripts: [{ text: "Good bye.", afterMs: 4000 }] })
      yield* session.speak(500)
      yield* session.pause()
      yield* session.send(respond)
      const closing = yield* session.close
      yield* session.pass(3900)
      expect(session.stored).toEqual([])
      yield* session.pass(200)
      yield* Fiber.join(closing)
      expect(texts(session)).toEqual(["Good bye."])
      expect(session.prompts).toEqual([])
    }),
  )

  effectTest(
    "are saved beside a reply that was cut",
    Effect.gen(function* () {
      const session = yield* makeClosable({
        transcripts: [{ text: "One." }, { text: "Two.", afterMs: 4000 }],
      })
      yield* session.speak(500)
      yield* session.pause()
      yield* session.pass(100)
      expect(session.of("response.created").length).toBe(1)
      yield* session.speak(1000)
      yield* session.pause()
      const closing = yield* session.close
      yield* session.pass(5000)
      yield* Fiber.join(closing)
      expect(texts(session).filter((text) => text === "One." || text === "Two.")).toEqual(["One.", "Two."])
    }),
  )

  effectTest(
    "are given up after 10 s",
    Effect.gen(function* () {
      const session = yield* makeClosable({ transcripts: [{ text: "Good bye.", afterMs: 60_000 }] })
      yield* session.speak(500)
      yield* session.pause()
      const closing = yield* session.close
      yield* session.pass(10_100)
      yield* Fiber.join(closing)
      expect(session.stored).toEqual([])
    }),
  )
})

const earlier = (text: string, heardMs: number | null, interrupted = false): Item => ({
  ...newItem({ type: "message", role: "assistant", text }, { heardMs, interrupted }),
  turnId: newId(TurnId),
  createdAt: new Date(0),
})
const truncate = ({ id }: Item, ms: number) => ({
  type: "conversation.item.truncate",
  item_id: id,
  content_index: 0,
  audio_end_ms: ms,
})

describe("a reply of an earlier connection", () => {
  const spoken = earlier("One two three four five six seven eight.", 4000)

  effectTest(
    "is cut at a word, and grows again",
    Effect.gen(function* () {
      const session = yield* makeSession({ history: [spoken] })
      yield* session.send(truncate(spoken, 2000), {
        type: "conversation.item.retrieve",
        item_id: spoken.id,
      })
      expect(session.of("conversation.item.truncated").length).toBe(1)
      expect(session.of("conversation.item.retrieved")).toMatchObject([
        { item: { content: [{ type: "output_audio", transcript: "One two three four" }] } },
      ])
      yield* session.send(truncate(spoken, 0))
      // The audio ends there now.
      yield* session.send(truncate(spoken, 4000))
      expect(session.of("error")).toMatchObject([{ error: { code: "invalid_value" } }])
      expect(session.cut).toEqual([
        { id: spoken.id, text: "One two three four", ms: 2000, interrupted: true },
        { id: spoken.id, text: "", ms: 0, interrupted: true },
      ])
    }),
  )

  effectTest(
    "that was played whole stays whole, and one that was cut stays cut",
    Effect.gen(function* () {
      const cut = earlier("One two", 900, true)
      const session = yield* makeSession({ history: [spoken, cut] })
      yield* session.send(truncate(spoken, 4000), truncate(cut, 900))
      expect(session.cut).toEqual([
        { id: spoken.id, text: "One two three four five six seven eight.", ms: 4000, interrupted: false },
        { id: cut.id, text: "One two", ms: 900, interrupted: true },
      ])
    }),
  )

  effectTest(
    "that was written, or is longer than was heard, is refused with a sentence",
    Effect.gen(function* () {
      const written = earlier("One two", null)
      const session = yield* makeSession({ history: [written, spoken] })
      yield* session.send(truncate(written, 0), truncate(spoken, 4001))
      expect(session.of("error").map(({ error }) => error.message)).toEqual([
        "Only model output audio messages can be truncated",
        "Audio content of 4000ms is already shorter than 4001ms",
      ])
      expect(session.cut).toEqual([])
    }),
  )
})

const replies = {
  thinks: [
    { chunks: [{ text: "The first reply." }] },
    { chunks: [{ text: "The second reply. " }, { text: "More.", afterMs: 60_000 }] },
  ],
  // 3 s.
  speaks: [{ chunks: [{ bytes: new Uint8Array(144_000) }] }],
}

describe("a reply that is cancelled", () => {
  effectTest(
    "when it is saved already is cut, however soon the client leaves",
    Effect.gen(function* () {
      const session = yield* makeClosable({ ...replies, truncateMs: 1000 })
      session.slow()
      yield* session.send(respond)
      expect(session.saved.map(({ state }) => state)).toEqual(["completed"])
      yield* session.send({ type: "response.cancel" })
      const closing = yield* session.close
      for (let at = 0; at < 4; at++) yield* session.pass(1000)
      yield* Fiber.join(closing)
      expect(session.truncated.map(({ text, interrupted }) => [text, interrupted])).toContainEqual(["", true])
    }),
  )

  effectTest(
    "before it is played can be deleted, as it is stored",
    Effect.gen(function* () {
      const session = yield* makeSession(replies)
      yield* session.send(respond)
      yield* session.send(respond)
      yield* session.send({ type: "response.cancel" })
      const [, second] = session.of("response.done").map(({ response }) => response.output[0]?.id)
      expect(session.saved.at(-1)?.items.map(({ id }) => String(id))).toEqual([second ?? ""])
      yield* session.send({ type: "conversation.item.delete", item_id: second })
      expect(session.removed.map(String)).toEqual([second ?? ""])
    }),
  )
})

effectTest(
  "a broken connection cuts the reply that still plays, and the one behind it",
  Effect.gen(function* () {
    const session = yield* makeClosable(replies)
    yield* session.send(respond)
    yield* session.pass(1500)
    yield* session.send({ ...respond, response: { output_modalities: ["text"] } })
    yield* Fiber.join(yield* session.close)
    expect(session.truncated.length).toBe(1)
    expect(session.saved.map(({ state }) => state)).toEqual(["completed", "interrupted"])
  }),
)
