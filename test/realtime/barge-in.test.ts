import { describe, expect } from "bun:test"
import { Effect, Exit, Scope } from "effect"
import { effectTest } from "../support/effect.ts"
import { sentences } from "../support/fake-turns.ts"
import { makeSession, shape } from "../support/realtime-session.ts"

const update = (input: object) => ({
  type: "session.update",
  session: { type: "realtime", audio: { input: { transcription: { model: "whisper-1" }, ...input } } },
})
const vad = (fields: object) => update({ turn_detection: { type: "server_vad", ...fields } })
const say = (text: string) => ({
  type: "conversation.item.create",
  item: { type: "message", role: "user", content: [{ type: "input_text", text }] },
})
const respond = { type: "response.create" }
/** A second of 24 kHz audio. */
const second = new Uint8Array(48_000)
/** A reply of three sentences with a second of audio each; the model ends it after a while. */
const reply = {
  thinks: [{ chunks: sentences.map((text) => ({ text: `${text} ` })) }],
  speaks: [{ chunks: [{ bytes: second }] }],
}
/** What 1.5 s play of it. */
const halfHeard = `${sentences[0]} Another one follows it at once,`
/** The same, and the model still writes. */
const longReply = {
  ...reply,
  thinks: [
    {
      chunks: [
        ...sentences.map((text) => ({ text: `${text} ` })),
        { text: "More follows.", afterMs: 60_000 },
      ],
    },
    { chunks: [{ text: "A second answer." }] },
  ],
}

describe("barge-in", () => {
  effectTest(
    "speech_started comes first, then the closing events",
    Effect.gen(function* () {
      const session = yield* makeSession({ ...longReply, transcripts: [{ text: "Stop that, please." }] })
      yield* session.send(update({}), say("Hi."), respond)
      yield* session.pass(1500)
      session.fresh()
      yield* session.speak(1500)
      expect(shape(session.events)).toEqual([
        "input_audio_buffer.speech_started",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
      ])
      expect(session.of("response.done")).toMatchObject([
        {
          response: {
            status: "cancelled",
            status_details: { type: "cancelled", reason: "turn_detected" },
            output: [{ status: "incomplete" }],
          },
        },
      ])
      // A second and a half were played: one sentence, and half of the next.
      expect(session.saved).toMatchObject([
        {
          state: "interrupted",
          items: [{ payload: { text: halfHeard }, heardMs: 1500, interrupted: true }],
        },
      ])
      yield* session.pause()
      expect(session.of("response.created")).toHaveLength(1)
    }),
  )

  effectTest(
    "the next prompt has the user's words and what was heard",
    Effect.gen(function* () {
      const session = yield* makeSession({ ...longReply, transcripts: [{ text: "Stop that, please." }] })
      yield* session.send(say("Tell me a story."), respond)
      yield* session.pass(1500)
      yield* session.speak(1500)
      yield* session.pause()
      const prompt = JSON.stringify(session.prompts.at(-1)?.prompt.messages)
      for (const part of ["Tell me a story.", sentences[0], "Stop that, please."])
        expect(prompt).toContain(part ?? "?")
      expect(prompt).not.toContain(sentences[1] ?? "?")
    }),
  )

  effectTest(
    "a client that reads nothing: the turn ends at once",
    Effect.gen(function* () {
      const session = yield* makeSession({ ...longReply, transcripts: [{ text: "Stop that, please." }] })
      yield* session.send(say("Hi."), respond)
      session.slow()
      yield* session.pass(1500)
      yield* session.speak(1500)
      expect(session.saved).toHaveLength(1)
      expect(session.left).toHaveLength(1)
    }),
  )

  effectTest(
    "of a reply that is done but still plays",
    Effect.gen(function* () {
      const session = yield* makeSession({ ...reply, transcripts: [{ text: "Stop that, please." }] })
      yield* session.send(update({}), say("Hi."), respond)
      yield* session.pass(500)
      expect(session.of("response.done")).toHaveLength(1)
      yield* session.pass(1000)
      yield* session.speak(1500)
      expect(session.of("input_audio_buffer.speech_started")).toHaveLength(1)
      expect(session.truncated).toMatchObject([{ text: halfHeard, ms: 1500, interrupted: true }])
      yield* session.pause()
      expect(session.of("response.created")).toHaveLength(2)
    }),
  )

  effectTest(
    "the client says better what it played",
    Effect.gen(function* () {
      const session = yield* makeSession({ ...longReply, transcripts: [{ text: "Stop that, please." }] })
      yield* session.send(say("Hi."), respond)
      yield* session.pass(1500)
      yield* session.speak(1500)
      const itemId = session.of("response.output_item.added")[0]?.item.id
      const truncate = (audio_end_ms: number, event_id: string) => ({
        type: "conversation.item.truncate",
        item_id: itemId,
        content_index: 0,
        audio_end_ms,
        event_id,
      })
      yield* session.send(truncate(2000, "a"), truncate(3100, "b"), truncate(0, "c"))
      expect(session.of("conversation.item.truncated")).toMatchObject([
        { item_id: itemId, content_index: 0, audio_end_ms: 2000 },
        { item_id: itemId, content_index: 0, audio_end_ms: 0 },
      ])
      expect(session.of("error").map(({ error }) => [error.code, error.event_id, error.message])).toEqual([
        ["invalid_value", "b", "Audio content of 2000ms is already shorter than 3100ms"],
      ])
      // Both came before the first was written.
      expect(session.truncated.map(({ text }) => text)).toEqual([""])
      yield* session.pause()
      expect(session.of("response.done").map(({ response }) => response.status)).toEqual([
        "cancelled",
        "completed",
      ])
    }),
  )

  effectTest(
    "interrupt_response false: the reply goes on, and the words are answered after it",
    Effect.gen(function* () {
      const session = yield* makeSession({ ...longReply, transcripts: [{ text: "And then?" }] })
      yield* session.send(vad({ interrupt_response: false }), say("Hi."), respond)
      yield* session.pass(1500)
      yield* session.speak(1500)
      yield* session.pause()
      expect(session.of("response.done")).toEqual([])
      expect(session.of("conversation.item.input_audio_transcription.completed")).toHaveLength(1)
      yield* session.pass(60_000)
      expect(session.of("response.done").map(({ response }) => response.status)).toEqual([
        "completed",
        "completed",
      ])
    }),
  )

  effectTest(
    "create_response false: events, and no response",
    Effect.gen(function* () {
      const session = yield* makeSession()
      yield* session.send(vad({ create_response: false }))
      yield* session.speak(500)
      yield* session.pause()
      expect(session.of("conversation.item.input_audio_transcription.completed")).toHaveLength(1)
      expect(session.of("response.created")).toEqual([])
      yield* session.send(respond)
      expect(session.of("response.created")).toHaveLength(1)
    }),
  )
})

describe("what is no interruption", () => {
  effectTest(
    "a click during the reply",
    Effect.gen(function* () {
      const session = yield* makeSession({ ...longReply, transcripts: [{ text: "" }] })
      yield* session.send(say("Hi."), respond)
      yield* session.pass(500)
      yield* session.speak(150)
      yield* session.pause()
      expect(session.of("input_audio_buffer.speech_started")).toEqual([])
      expect(session.of("response.done")).toEqual([])
    }),
  )

  effectTest(
    "mhm during the reply",
    Effect.gen(function* () {
      const session = yield* makeSession({ ...longReply, transcripts: [{ text: "Mhm." }] })
      yield* session.send(say("Hi."), respond)
      yield* session.pass(500)
      yield* session.speak(400)
      yield* session.pause()
      expect(session.of("response.done")).toEqual([])
      yield* session.pass(60_000)
      expect(session.of("response.done").map(({ response }) => response.status)).toEqual(["completed"])
    }),
  )

  effectTest(
    "a long noise cuts the reply, which then goes on",
    Effect.gen(function* () {
      const session = yield* makeSession({ ...longReply, transcripts: [{ text: "" }] })
      yield* session.send(update({}), say("Tell me a story."), respond)
      yield* session.pass(1500)
      yield* session.speak(2000)
      yield* session.pause()
      expect(session.of("conversation.item.input_audio_transcription.completed")).toMatchObject([
        { transcript: "" },
      ])
      expect(session.of("response.done").map(({ response }) => response.status)).toEqual([
        "cancelled",
        "completed",
      ])
      const { prompt } = session.prompts.at(-1) ?? {}
      expect(prompt?.instructions).toContain("Continue the reply")
      expect(JSON.stringify(prompt?.messages)).toContain(sentences[0] ?? "?")
    }),
  )

  effectTest(
    "a noise while the agent thinks: the answer starts anew",
    Effect.gen(function* () {
      const session = yield* makeSession({
        thinks: [{ chunks: [{ text: "Sure.", afterMs: 3000 }] }],
        transcripts: [{ text: "Hello." }, { text: "" }],
      })
      yield* session.speak(500)
      yield* session.pause()
      yield* session.speak(500)
      yield* session.pause()
      yield* session.pass(4000)
      expect(session.of("response.done").map(({ response }) => response.status)).toEqual([
        "cancelled",
        "completed",
      ])
    }),
  )
})

describe("the user's silence", () => {
  effectTest(
    "counts from the end of the playing time",
    Effect.gen(function* () {
      const session = yield* makeSession(reply)
      yield* session.send(vad({ idle_timeout_ms: 5000 }), say("Hi."), respond)
      expect(session.of("response.done")).toHaveLength(1)
      // Three seconds of audio, then five of silence.
      yield* session.pass(7900)
      expect(session.of("input_audio_buffer.timeout_triggered")).toEqual([])
      session.fresh()
      yield* session.pass(200)
      expect(shape(session.events).slice(0, 5)).toEqual([
        "input_audio_buffer.timeout_triggered",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
      ])
      expect(session.prompts.at(-1)?.prompt.instructions).toContain("silent for 5 seconds")
    }),
  )

  effectTest(
    "goes on after a noise without words",
    Effect.gen(function* () {
      const session = yield* makeSession({ ...reply, transcripts: [{ text: "" }] })
      yield* session.send(vad({ idle_timeout_ms: 5000 }), say("Hi."), respond)
      yield* session.pass(4000)
      yield* session.speak(300)
      yield* session.pause()
      yield* session.pass(5100)
      expect(session.of("input_audio_buffer.timeout_triggered")).toHaveLength(1)
    }),
  )

  effectTest(
    "causes three prompts at most, also if they fail",
    Effect.gen(function* () {
      const refusals = Array.from({ length: 20 }, () => "rate limit" as const)
      const session = yield* makeSession({ ...reply, refusals })
      yield* session.send(vad({ idle_timeout_ms: 5000 }), say("Hi."), respond)
      for (let at = 0; at < 8; at++) yield* session.pass(5100)
      expect(session.of("input_audio_buffer.timeout_triggered")).toHaveLength(3)
    }),
  )

  effectTest(
    "counts anew with another limit, and not at all without one",
    Effect.gen(function* () {
      const session = yield* makeSession(reply)
      const prompts = () => session.of("input_audio_buffer.timeout_triggered").length
      yield* session.send(vad({ idle_timeout_ms: 5000 }))
      yield* session.pass(6000)
      // Nothing was said yet.
      expect(prompts()).toBe(0)
      yield* session.send(say("Hi."), respond)
      yield* session.pass(4000)
      yield* session.send(vad({ idle_timeout_ms: null }))
      yield* session.pass(60_000)
      expect(prompts()).toBe(0)
      yield* session.send(vad({ idle_timeout_ms: 20_000 }))
      yield* session.pass(10_000)
      yield* session.send(vad({ idle_timeout_ms: 6000 }))
      yield* session.pass(5900)
      expect(prompts()).toBe(0)
      yield* session.pass(200)
      expect(prompts()).toBe(1)
      yield* session.pass(3100)
      yield* session.send(update({ turn_detection: null }))
      yield* session.pass(60_000)
      expect(prompts()).toBe(1)
    }),
  )

  effectTest(
    "is over when the user speaks",
    Effect.gen(function* () {
      const session = yield* makeSession(reply)
      yield* session.send(vad({ idle_timeout_ms: 5000 }), say("Hi."), respond)
      yield* session.pass(7000)
      yield* session.speak(300)
      yield* session.pass(5000)
      expect(session.of("input_audio_buffer.timeout_triggered")).toEqual([])
    }),
  )
})

effectTest(
  "a broken connection keeps what was heard",
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const session = yield* Scope.extend(makeSession(longReply), scope)
    yield* session.send(say("Hi."), respond)
    yield* session.pass(2500)
    yield* Scope.close(scope, Exit.void)
    expect(session.saved).toMatchObject([
      {
        state: "interrupted",
        items: [{ payload: { text: `${sentences[0]} ${sentences[1]}` }, interrupted: true }],
      },
    ])
  }),
)

effectTest(
  "a broken connection shortens a reply that still played",
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const session = yield* Scope.extend(makeSession(reply), scope)
    yield* session.send(say("Hi."), respond)
    yield* session.pass(1500)
    yield* Scope.close(scope, Exit.void)
    expect(session.truncated).toMatchObject([{ text: halfHeard, interrupted: true }])
  }),
)
