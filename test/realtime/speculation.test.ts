import { describe, expect } from "bun:test"
import { Effect } from "effect"
import { newItem } from "../../src/conversation/item.ts"
import { newId, TurnId } from "../../src/schema.ts"
import { effectTest } from "../support/effect.ts"
import { makeSession, type SessionScript, shape } from "../support/realtime-session.ts"

const make = (script: SessionScript = {}) =>
  makeSession({
    env: { REALTIME_SPECULATIVE: "on" },
    transcripts: [{ text: "What time is it?" }, { text: "What time is it in Rome?" }],
    thinks: [{ chunks: [{ text: "It is five." }] }, { chunks: [{ text: "It is six." }] }],
    ...script,
  })

const answerEvents = [
  "input_audio_buffer.speech_stopped",
  "input_audio_buffer.committed",
  "conversation.item.added",
  "conversation.item.done",
  "response.created",
  "response.output_item.added",
  "conversation.item.added",
  "response.content_part.added",
  "response.output_audio_transcript.delta",
  "response.output_audio.delta",
  "response.output_audio.done",
  "response.output_audio_transcript.done",
  "response.content_part.done",
  "conversation.item.done",
  "response.output_item.done",
  "response.done",
]

const replies = ({ of }: Effect.Effect.Success<ReturnType<typeof makeSession>>) =>
  of("response.output_audio_transcript.done").map(({ transcript }) => transcript)

describe("an answer that begins during the last silence", () => {
  effectTest(
    "is the response, in the usual order",
    Effect.gen(function* () {
      const session = yield* make()
      yield* session.speak(500)
      yield* session.pause(300)
      session.fresh()
      expect(session.prompts.length).toBe(1)
      expect(session.spoken.length).toBe(1)
      expect(session.events).toEqual([])
      yield* session.pass(300)
      expect([session.events, session.stored]).toEqual([[], []])
      yield* session.pause(400)
      expect(shape(session.events)).toEqual(answerEvents)
      expect(replies(session)).toEqual(["It is five."])
      expect(session.prompts.length).toBe(1)
      expect(session.prompts[0]?.prompt.messages).toMatchObject([
        { role: "user", content: "What time is it?" },
      ])
      const [created] = session.of("response.created")
      expect(session.saved).toMatchObject([
        {
          id: created?.response.id,
          state: "completed",
          items: [{ id: session.of("response.output_item.done")[0]?.item.id }],
        },
      ])
      expect(session.stored.map(({ item: { payload } }) => "text" in payload && payload.text)).toEqual([
        "What time is it?",
        "It is five.",
      ])
      expect(session.failed).toEqual([])
    }),
  )

  effectTest(
    "is dropped unheard if the speech goes on",
    Effect.gen(function* () {
      const session = yield* make()
      yield* session.speak(500)
      yield* session.pause(300)
      expect(session.prompts.length).toBe(1)
      session.fresh()
      yield* session.speak(500)
      yield* session.settle
      expect(session.events).toEqual([])
      // Its cost is kept.
      expect(session.failed).toMatchObject([{ usage: { charactersSpoken: "It is five.".length } }])
      expect(session.failed[0]?.usage.outputTokens).toBeGreaterThan(0)
      yield* session.pause(700)
      expect(replies(session)).toEqual(["It is six."])
      expect(session.prompts[1]?.prompt.messages).toMatchObject([{ content: "What time is it in Rome?" }])
      expect(session.saved.length).toBe(1)
      expect(session.stored.length).toBe(2)
    }),
  )

  effectTest(
    "calls no tool before it is real",
    Effect.gen(function* () {
      const call = { _tag: "ToolCall" as const, callId: "call_1", name: "clock", arguments: "{}" }
      const session = yield* make({
        thinks: [{ calls: [call] }, { chunks: [{ text: "It is six." }] }],
        config: {
          type: "realtime",
          tools: [{ type: "function", name: "clock", parameters: { type: "object" } }],
        },
      })
      yield* session.speak(500)
      yield* session.pause(300)
      expect(session.prompts.length).toBe(1)
      expect(session.of("response.function_call_arguments.done")).toEqual([])
      yield* session.speak(500)
      yield* session.pause(700)
      expect(session.of("response.function_call_arguments.done")).toEqual([])
      expect(replies(session)).toEqual(["It is six."])
      expect(session.saved.length).toBe(1)
    }),
  )

  effectTest(
    "is dropped by what the client sends, and the response begins anew",
    Effect.gen(function* () {
      const session = yield* make()
      yield* session.speak(500)
      yield* session.pause(300)
      yield* session.send({ type: "session.update", session: { type: "realtime", instructions: "Rhyme." } })
      yield* session.pause(400)
      expect(replies(session)).toEqual(["It is six."])
      expect(session.failed.length).toBe(1)
    }),
  )

  effectTest(
    "is dropped if the conversation has changed in another process",
    Effect.gen(function* () {
      const history = [
        {
          ...newItem({ type: "message", role: "user", text: "Hello." }),
          turnId: newId(TurnId),
          createdAt: new Date(0),
        },
      ]
      const session = yield* make({ history })
      yield* session.speak(500)
      yield* session.pause(300)
      expect(session.prompts.length).toBe(1)
      session.stored.push({
        item: newItem({ type: "message", role: "user", text: "From elsewhere." }),
        after: "end",
        audioSeconds: 0,
        isNew: false,
      })
      yield* session.pause(400)
      expect(replies(session)).toEqual(["It is six."])
      expect(session.of("response.created").length).toBe(1)
      expect(JSON.stringify(session.prompts[1]?.prompt.messages)).toContain("From elsewhere.")
    }),
  )

  effectTest(
    "that fails is no failure of the response",
    Effect.gen(function* () {
      const session = yield* make({ refusals: ["overloaded"] })
      yield* session.speak(500)
      yield* session.pause(300)
      expect(session.prompts).toEqual([])
      yield* session.pause(400)
      expect(session.of("response.done").map(({ response }) => response.status)).toEqual(["completed"])
    }),
  )

  effectTest(
    "is dropped with the connection",
    Effect.gen(function* () {
      const session = yield* Effect.scoped(
        Effect.gen(function* () {
          const opened = yield* make()
          yield* opened.speak(500)
          yield* opened.pause(300)
          return opened
        }),
      )
      expect(session.prompts.length).toBe(1)
      expect(session.saved).toEqual([])
      expect(session.failed.length).toBe(1)
    }),
  )

  effectTest(
    "does not begin unless the setting is on, for a sentence that goes on, or without create_response",
    Effect.gen(function* () {
      const off = yield* make({ env: {} })
      const open = yield* make({ transcripts: [{ text: "What time," }] })
      const manual = yield* make({
        config: {
          type: "realtime",
          audio: { input: { turn_detection: { type: "server_vad", create_response: false } } },
        },
      })
      for (const session of [off, open, manual]) {
        yield* session.speak(500)
        yield* session.pause(300)
        expect(session.prompts).toEqual([])
      }
    }),
  )
})
