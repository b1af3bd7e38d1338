import { describe, expect } from "bun:test"
import { Effect, Option } from "effect"
import { effectTest } from "../support/effect.ts"
import { sentences } from "../support/fake-turns.ts"
import { makeSession, pcm, shape } from "../support/realtime-session.ts"

const transcription = { audio: { input: { transcription: { model: "whisper-1" } } } }
const update = (session: object) => ({ type: "session.update", session: { type: "realtime", ...session } })
const withTranscripts = update(transcription)
const manual = update({ audio: { input: { ...transcription.audio.input, turn_detection: null } } })
const say = (text: string) => ({
  type: "conversation.item.create",
  item: { type: "message", role: "user", content: [{ type: "input_text", text }] },
})
const commit = { type: "input_audio_buffer.commit" }
const respond = { type: "response.create" }

const userItem = [
  "input_audio_buffer.committed",
  "conversation.item.added",
  "conversation.item.done",
  "conversation.item.input_audio_transcription.delta",
  "conversation.item.input_audio_transcription.completed",
]
const spokenResponse = [
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

describe("a voice turn", () => {
  effectTest(
    "has its events in order, with the transcript before the response",
    Effect.gen(function* () {
      const session = yield* makeSession({ transcripts: [{ text: "What is the weather?" }] })
      yield* session.send(withTranscripts)
      yield* session.pause(300)
      yield* session.speak(1000)
      yield* session.pause()
      expect(shape(session.events)).toEqual([
        "session.created",
        "session.updated",
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        ...userItem,
        ...spokenResponse,
      ])
      const [started] = session.of("input_audio_buffer.speech_started")
      const [committed] = session.of("input_audio_buffer.committed")
      const [transcript] = session.of("conversation.item.input_audio_transcription.completed")
      expect(committed?.previous_item_id).toBeNull()
      expect(new Set([started?.item_id, committed?.item_id, transcript?.item_id]).size).toBe(1)
      // The padding before the voice belongs to the speech.
      expect(started?.audio_start_ms).toBe(0)
      expect(transcript).toMatchObject({ transcript: "What is the weather?", usage: { type: "duration" } })
      const [, reply] = session.of("conversation.item.added")
      expect(reply?.previous_item_id).toBe(committed?.item_id)
      expect(session.prompts.map(({ prompt }) => prompt.messages)).toMatchObject([
        [{ role: "user", content: "What is the weather?" }],
      ])
    }),
  )

  effectTest(
    "without words: an empty transcript and no response",
    Effect.gen(function* () {
      const session = yield* makeSession({ transcripts: [{ text: "" }] })
      yield* session.send(withTranscripts)
      yield* session.speak(600)
      yield* session.pause()
      expect(session.of("conversation.item.input_audio_transcription.completed")).toMatchObject([
        { transcript: "" },
      ])
      expect(session.of("response.created")).toEqual([])
      expect(session.stored).toEqual([])
    }),
  )

  effectTest(
    "two utterances before an answer keep their transcripts, and get one answer",
    Effect.gen(function* () {
      const session = yield* makeSession({
        transcripts: [{ text: "First.", afterMs: 900 }, { text: "Second." }],
      })
      yield* session.send(withTranscripts)
      yield* session.speak(500)
      yield* session.pause()
      yield* session.speak(500)
      yield* session.pause()
      yield* session.pass(1000)
      const items = session.of("input_audio_buffer.committed")
      expect(items.map(({ previous_item_id }) => previous_item_id)).toEqual([null, items[0]?.item_id ?? ""])
      expect(session.of("response.created")).toHaveLength(1)
      yield* session.send(...items.map(({ item_id }) => ({ type: "conversation.item.retrieve", item_id })))
      expect(session.of("conversation.item.retrieved").map(({ item }) => item)).toMatchObject([
        { content: [{ transcript: "First." }] },
        { content: [{ transcript: "Second." }] },
      ])
      // In the order in which they were said, though the first was transcribed last.
      expect(
        session.prompts
          .at(-1)
          ?.prompt.messages.map(({ content }) => content)
          .join(" "),
      ).toMatch(/First\.\s+Second\./)
    }),
  )

  effectTest(
    "speech before the answer's first word: the answer starts anew, with both utterances",
    Effect.gen(function* () {
      const session = yield* makeSession({
        transcripts: [{ text: "Book a table" }, { text: "for two." }],
        thinks: [{ chunks: [{ text: "Sure.", afterMs: 2000 }] }],
      })
      yield* session.speak(500)
      yield* session.pause()
      yield* session.speak(500)
      expect(session.of("response.done").map(({ response }) => response)).toMatchObject([
        { status: "cancelled", status_details: { reason: "turn_detected" }, output: [] },
      ])
      yield* session.pause()
      yield* session.pass(3000)
      expect(session.of("response.done").map(({ response }) => response.status)).toEqual([
        "cancelled",
        "completed",
      ])
      const said = session.prompts
        .at(-1)
        ?.prompt.messages.map(({ content }) => content)
        .join(" ")
      expect(said).toContain("Book a table")
      expect(said).toContain("for two.")
    }),
  )

  effectTest(
    "a commit in mid-speech ends the utterance, and further speech is another item",
    Effect.gen(function* () {
      const session = yield* makeSession()
      yield* session.speak(500)
      yield* session.send(commit)
      yield* session.speak(500)
      yield* session.pause()
      const started = session.of("input_audio_buffer.speech_started").map(({ item_id }) => item_id)
      expect(new Set(started).size).toBe(2)
      expect(session.of("input_audio_buffer.committed").map(({ item_id }) => item_id)).toEqual(started)
      expect(session.of("input_audio_buffer.speech_stopped")).toHaveLength(1)
    }),
  )

  effectTest(
    "a commit right after the turn detection's own: one error",
    Effect.gen(function* () {
      const session = yield* makeSession({ transcripts: [{ text: "Hello." }] })
      yield* session.send(withTranscripts)
      yield* session.speak(500)
      yield* session.pause(600)
      yield* session.send({ ...commit, event_id: "mine" })
      expect(session.of("error").map(({ error }) => error)).toEqual([
        {
          type: "invalid_request_error",
          code: "input_audio_buffer_commit_empty",
          message: expect.stringContaining("Expected at least 100ms of audio"),
          param: null,
          event_id: "mine",
        },
      ])
      expect(session.of("conversation.item.input_audio_transcription.completed")).toMatchObject([
        { transcript: "Hello." },
      ])
      expect(session.of("response.done")).toMatchObject([{ response: { status: "completed" } }])
    }),
  )

  effectTest(
    "audio cut within a sample: no error, and the same samples",
    Effect.gen(function* () {
      const session = yield* makeSession()
      yield* session.send(manual)
      const bytes = pcm(300, true)
      const cuts = [0, 1, 4, 4803, bytes.length]
      yield* session.send(
        ...cuts.slice(1).map((end, at) => ({
          type: "input_audio_buffer.append",
          audio: bytes.subarray(cuts[at], end).toString("base64"),
        })),
        commit,
      )
      expect(session.of("error")).toEqual([])
      expect(session.transcribed.map(({ speech }) => speech.seconds)).toEqual([0.3])
    }),
  )
})

describe("settings", () => {
  effectTest(
    "every update is answered once, with everything",
    Effect.gen(function* () {
      const session = yield* makeSession()
      yield* session.send(
        update({ audio: { input: { turn_detection: { type: "server_vad", threshold: 0.7 } } } }),
        update({ audio: { input: { turn_detection: { silence_duration_ms: 300 } } } }),
        update({ tracing: "auto" }),
      )
      expect(session.of("session.updated")).toHaveLength(3)
      expect(session.of("session.updated").at(-1)).toMatchObject({
        session: {
          object: "realtime.session",
          audio: {
            input: {
              turn_detection: {
                type: "server_vad",
                threshold: 0.7,
                silence_duration_ms: 300,
                interrupt_response: true,
                create_response: true,
              },
            },
          },
        },
      })
    }),
  )

  effectTest(
    "an error beside an update leaves it in force",
    Effect.gen(function* () {
      const session = yield* makeSession()
      yield* session.send({ type: "input_audio_buffer.append", audio: "%%%", event_id: "bad" }, manual, {
        type: "nonsense",
        event_id: "worse",
      })
      expect(session.of("error").map(({ error }) => error.event_id)).toEqual(["bad", "worse"])
      yield* session.speak(500)
      yield* session.pause()
      expect(session.of("input_audio_buffer.speech_started")).toEqual([])
    }),
  )

  effectTest(
    "a refused update changes nothing",
    Effect.gen(function* () {
      const session = yield* makeSession()
      yield* session.send({
        ...update({ output_modalities: ["text"], audio: { output: { speed: 9 } } }),
        event_id: "e",
      })
      expect(session.of("error")).toMatchObject([
        { error: { event_id: "e", param: "session.audio.output.speed" } },
      ])
      yield* session.send(say("Hi."), respond)
      expect(session.of("response.created")).toMatchObject([{ response: { output_modalities: ["audio"] } }])
    }),
  )
})

describe("manual turns", () => {
  effectTest(
    "a commit makes no response, and response.create waits for the transcript",
    Effect.gen(function* () {
      const session = yield* makeSession({ transcripts: [{ text: "Hello.", afterMs: 500 }] })
      yield* session.send(manual)
      yield* session.speak(500)
      yield* session.send(commit, { ...respond, response: { metadata: { client_event_id: "9" } } })
      expect(session.of("input_audio_buffer.committed")).toHaveLength(1)
      expect(session.of("response.created")).toEqual([])
      yield* session.send({ ...respond, event_id: "second" })
      expect(session.of("error")).toMatchObject([
        { error: { code: "conversation_already_has_active_response", event_id: "second" } },
      ])
      yield* session.pass(600)
      expect(shape(session.events).slice(-13)).toEqual([
        "conversation.item.input_audio_transcription.completed",
        ...spokenResponse,
      ])
      expect(session.of("response.done")).toMatchObject([
        { response: { metadata: { client_event_id: "9" } } },
      ])
    }),
  )

  effectTest(
    "no response without response.create",
    Effect.gen(function* () {
      const session = yield* makeSession()
      yield* session.send(manual)
      yield* session.speak(500)
      yield* session.send(commit)
      expect(session.of("response.created")).toEqual([])
      expect(session.stored).toHaveLength(1)
    }),
  )

  effectTest(
    "clear drops the audio",
    Effect.gen(function* () {
      const session = yield* makeSession()
      yield* session.send(manual)
      yield* session.speak(500)
      yield* session.send({ type: "input_audio_buffer.clear" }, { ...commit, event_id: "late" })
      expect(session.types().slice(-2)).toEqual(["input_audio_buffer.cleared", "error"])
      expect(session.of("error")).toMatchObject([{ error: { event_id: "late" } }])
    }),
  )

  effectTest(
    "text alone",
    Effect.gen(function* () {
      const session = yield* makeSession()
      yield* session.send(say("Hi."), { ...respond, response: { output_modalities: ["text"] } })
      expect(shape(session.events)).toEqual([
        "session.created",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
      ])
      expect(session.spoken).toEqual([])
    }),
  )
})

describe("cancelling", () => {
  const slow = { thinks: [{ chunks: sentences.map((text) => ({ text: `${text} `, afterMs: 500 })) }] }

  effectTest(
    "cancel and create in one packet: the new response begins after the old one",
    Effect.gen(function* () {
      const session = yield* makeSession(slow)
      yield* session.send(say("Hi."), respond)
      yield* session.pass(600)
      yield* session.send({ type: "response.cancel" }, respond)
      yield* session.pass(5000)
      expect(session.of("error")).toEqual([])
      expect(session.of("response.done").map(({ response }) => response.status)).toEqual([
        "cancelled",
        "completed",
      ])
      expect(shape(session.events).join(" ")).toContain("response.done response.created")
    }),
  )

  effectTest(
    "a second response is refused, with the id of its event",
    Effect.gen(function* () {
      const session = yield* makeSession(slow)
      yield* session.send(say("Hi."), respond, { ...respond, event_id: "agents_js_response_create_2" })
      const [created] = session.of("response.created")
      expect(session.of("error").map(({ error }) => error)).toMatchObject([
        {
          code: "conversation_already_has_active_response",
          event_id: "agents_js_response_create_2",
          message: expect.stringContaining(created?.response.id ?? "?"),
        },
      ])
    }),
  )

  effectTest(
    "nothing to cancel",
    Effect.gen(function* () {
      const session = yield* makeSession()
      yield* session.send(
        { type: "response.cancel", event_id: "c" },
        { type: "response.cancel", response_id: "x" },
      )
      expect(session.of("error").map(({ error }) => error)).toMatchObject([
        {
          code: "response_cancel_not_active",
          message: "Cancellation failed: no active response found",
          event_id: "c",
        },
        { code: "response_cancel_not_active" },
      ])
    }),
  )

  effectTest(
    "one that waits for a transcript begins and ends",
    Effect.gen(function* () {
      const session = yield* makeSession({ transcripts: [{ text: "Hello.", afterMs: 500 }] })
      yield* session.send(manual)
      yield* session.speak(500)
      yield* session.send(commit, respond, { type: "response.cancel" })
      expect(shape(session.events).slice(-2)).toEqual(["response.created", "response.done"])
      yield* session.pass(1000)
      expect(session.of("response.created")).toHaveLength(1)
    }),
  )

  effectTest(
    "a cancelled response's item can be deleted",
    Effect.gen(function* () {
      const session = yield* makeSession(slow)
      yield* session.send(say("Hi."), respond)
      yield* session.pass(600)
      yield* session.send({ type: "response.cancel" })
      const [item] = session.of("response.output_item.added")
      yield* session.send({ type: "conversation.item.delete", item_id: item?.item.id })
      expect(session.of("error")).toEqual([])
      expect(session.of("conversation.item.deleted")).toHaveLength(1)
    }),
  )
})

describe("tools", () => {
  const tools = { tools: [{ type: "function", name: "get_weather", parameters: { type: "object" } }] }
  const calls = [{ callId: "call_1", name: "get_weather", arguments: '{"city":"Oslo"}' }]

  effectTest(
    "a call, its output, and the answer when the client asks for it",
    Effect.gen(function* () {
      const session = yield* makeSession({
        thinks: [{ calls, end: "tools" }, { chunks: [{ text: "It is sunny." }] }],
      })
      yield* session.send(update(tools), say("How is Oslo?"), respond)
      const [call] = session.of("response.function_call_arguments.done")
      expect(call).toMatchObject({ call_id: "call_1", name: "get_weather", arguments: '{"city":"Oslo"}' })
      expect(session.of("response.done")).toMatchObject([
        { response: { status: "completed", output: [{ type: "function_call", status: "completed" }] } },
      ])
      session.fresh()
      const output = { type: "function_call_output", call_id: "call_1", output: '{"sky":"clear"}' }
      yield* session.send({ type: "conversation.item.create", item: output })
      // The output alone starts nothing.
      expect(session.types()).toEqual(["conversation.item.added", "conversation.item.done"])
      yield* session.send(respond)
      expect(session.of("response.done")).toMatchObject([{ response: { status: "completed" } }])
      expect(session.prompts.at(-1)?.prompt.messages).toMatchObject([
        { role: "user", content: "How is Oslo?" },
        { role: "assistant", toolCalls: [{ callId: "call_1" }] },
        { role: "tool", callId: "call_1", content: '{"sky":"clear"}' },
      ])
    }),
  )

  effectTest(
    "an output without its call",
    Effect.gen(function* () {
      const session = yield* makeSession()
      yield* session.send({
        type: "conversation.item.create",
        event_id: "o",
        item: { type: "function_call_output", call_id: "call_x", output: "{}" },
      })
      expect(session.of("error")).toMatchObject([{ error: { code: "invalid_tool_call_id", event_id: "o" } }])
      expect(session.of("conversation.item.added")).toEqual([])
    }),
  )
})

describe("out of band", () => {
  const aside = { type: "response.create", response: { conversation: "none", metadata: { topic: "title" } } }

  effectTest(
    "runs beside the conversation's response, without items",
    Effect.gen(function* () {
      const session = yield* makeSession({ thinks: [{ chunks: [{ text: "Sure.", afterMs: 500 }] }] })
      yield* session.send(say("Hi."), respond, aside, aside)
      yield* session.send({ type: "response.cancel" })
      yield* session.pass(1000)
      const done = session.of("response.done").map(({ response }) => response)
      expect(done.map(({ status }) => status)).toEqual(["cancelled", "completed", "completed"])
      expect(done.slice(1)).toMatchObject([
        { conversation_id: null, metadata: { topic: "title" } },
        { conversation_id: null, metadata: { topic: "title" } },
      ])
      // Those of the user's message alone.
      expect(session.of("conversation.item.added")).toHaveLength(1)
    }),
  )

  effectTest(
    "with an input of its own",
    Effect.gen(function* () {
      const session = yield* makeSession()
      yield* session.send(
        { ...say("My name is Ada."), item: { ...say("My name is Ada.").item, id: "ada" } },
        say("Hi."),
      )
      const input = [{ type: "item_reference", id: "ada" }, say("Who am I?").item]
      yield* session.send({ type: "response.create", response: { conversation: "none", input } })
      const said = session.prompts
        .at(-1)
        ?.prompt.messages.map(({ content }) => content)
        .join(" ")
      expect(said).toMatch(/My name is Ada\.\s+Who am I\?/)
      expect(said).not.toContain("Hi.")
      yield* session.send({
        type: "response.create",
        event_id: "r",
        response: { input: [{ type: "item_reference", id: "x" }] },
      })
      expect(session.of("error")).toMatchObject([{ error: { param: "response.input[0].id", event_id: "r" } }])
    }),
  )

  effectTest(
    "not more than eight at a time",
    Effect.gen(function* () {
      const session = yield* makeSession({ thinks: [{ chunks: [{ text: "Sure.", afterMs: 500 }] }] })
      yield* session.send(...Array(9).fill({ ...aside, event_id: "n" }))
      expect(session.of("response.created")).toHaveLength(8)
      expect(session.of("error")).toMatchObject([{ error: { code: "too_many_responses", event_id: "n" } }])
    }),
  )
})

describe("a transcription session", () => {
  effectTest(
    "never responds",
    Effect.gen(function* () {
      const session = yield* makeSession({ intent: "transcription", transcripts: [{ text: "Note this." }] })
      yield* session.speak(500)
      yield* session.pause()
      yield* session.send({ ...respond, event_id: "r" })
      expect(shape(session.events)).toEqual([
        "session.created",
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        ...userItem,
        "error",
      ])
      expect(session.of("error")).toMatchObject([{ error: { event_id: "r" } }])
      expect(session.prompts).toEqual([])
    }),
  )
})

describe("items", () => {
  effectTest(
    "keep the client's ids and places",
    Effect.gen(function* () {
      const session = yield* makeSession()
      const item = (id: string) => ({ ...say(`I am ${id}.`).item, id })
      yield* session.send(
        { type: "conversation.item.create", item: item("b") },
        { type: "conversation.item.create", item: item("a"), previous_item_id: "root" },
        { type: "conversation.item.create", item: item("ab"), previous_item_id: "a" },
        { type: "conversation.item.create", item: item("x"), previous_item_id: "unknown", event_id: "lost" },
      )
      expect(
        session.of("conversation.item.added").map((event) => [event.item.id, event.previous_item_id]),
      ).toEqual([
        ["b", null],
        ["a", null],
        ["ab", "a"],
      ])
      expect(session.of("error")).toMatchObject([
        { error: { code: "item_create_invalid_previous_item_id", event_id: "lost" } },
      ])
      yield* session.send(respond)
      expect(session.prompts[0]?.prompt.messages.map(({ content }) => content).join(" ")).toMatch(
        /I am a\.\s+I am ab\.\s+I am b\./,
      )
      expect(session.stored.slice(0, 3).map(({ item: { clientId } }) => clientId)).toEqual(["b", "a", "ab"])
    }),
  )

  effectTest(
    "retrieve and delete what does not exist, with the id of the event",
    Effect.gen(function* () {
      const session = yield* makeSession()
      yield* session.send(
        { type: "conversation.item.retrieve", item_id: "x", event_id: "rci_x" },
        { type: "conversation.item.delete", item_id: "x", event_id: "d" },
        {
          type: "conversation.item.truncate",
          item_id: "x",
          content_index: 0,
          audio_end_ms: 0,
          event_id: "t",
        },
      )
      expect(session.of("error").map(({ error }) => [error.code, error.event_id])).toEqual([
        ["item_retrieve_invalid_item_id", "rci_x"],
        ["item_delete_invalid_item_id", "d"],
        ["item_truncate_invalid_item_id", "t"],
      ])
    }),
  )

  effectTest(
    "speech in one piece is transcribed before the response",
    Effect.gen(function* () {
      const session = yield* makeSession({ transcripts: [{ text: "Hello there.", afterMs: 300 }] })
      yield* session.send(
        {
          type: "conversation.item.create",
          item: {
            type: "message",
            role: "user",
            content: [{ type: "input_audio", audio: pcm(1000, true).toString("base64") }],
          },
        },
        respond,
      )
      expect(session.of("response.created")).toEqual([])
      yield* session.pass(400)
      expect(session.prompts[0]?.prompt.messages).toMatchObject([{ content: "Hello there." }])
      expect(session.stored[0]?.audioSeconds).toBeCloseTo(1, 2)
    }),
  )
})

describe("bounds", () => {
  effectTest(
    "long items, contexts and settings are refused",
    Effect.gen(function* () {
      const session = yield* makeSession()
      const long = "x".repeat(262_145)
      yield* session.send(
        { ...say(long), event_id: "item" },
        {
          type: "conversation.item.create",
          item: { type: "function_call", call_id: "c", name: "f", arguments: long },
          event_id: "call",
        },
        { ...respond, response: { input: Array(5).fill(say(long.slice(5)).item) }, event_id: "context" },
        {
          ...update({
            tools: Array.from({ length: 9 }, (_, at) => ({
              type: "function",
              name: `f${at}`,
              parameters: { type: "object", title: long },
            })),
          }),
          event_id: "tools",
        },
      )
      // Other connections get their turn between such messages.
      yield* Effect.repeatN(session.settle, 10)
      expect(session.of("error").map(({ error }) => [error.event_id, error.code])).toEqual([
        ["item", "string_above_max_length"],
        ["call", "string_above_max_length"],
        ["context", "string_above_max_length"],
        ["tools", "string_above_max_length"],
      ])
      expect(session.types()).not.toContain("session.updated")
      expect(session.stored).toEqual([])
    }),
  )
})

effectTest(
  "five minutes of audio in one event are heard in their place",
  Effect.gen(function* () {
    const session = yield* makeSession({ env: { REALTIME_SPECULATIVE: "off" } })
    const audio = Buffer.concat([
      pcm(1000, false),
      pcm(1000, true),
      pcm(298_000, false),
      pcm(1000, true),
    ]).toString("base64")
    yield* session.send({ type: "input_audio_buffer.append", audio }, say("After it."), {
      type: "input_audio_buffer.commit",
    })
    yield* Effect.repeatN(session.settle, 60)
    const of = session.types().filter((type) => /^input_audio_buffer|conversation.item.added/.test(type))
    expect(of.slice(0, 4)).toEqual([
      "input_audio_buffer.speech_started",
      "input_audio_buffer.speech_stopped",
      "input_audio_buffer.committed",
      "conversation.item.added",
    ])
    const types = session.types()
    expect(types.lastIndexOf("input_audio_buffer.speech_started")).toBeLessThan(
      session.events.findIndex((event) => JSON.stringify(event).includes("After it.")),
    )
    expect(types.filter((type) => type === "input_audio_buffer.committed")).toHaveLength(2)
    const broken = { type: "input_audio_buffer.append", audio: `${audio}%` }
    session.fresh()
    yield* session.send(broken)
    expect(session.events).toMatchObject([{ type: "error", error: { code: "invalid_base64" } }])
  }),
)

effectTest(
  "not more than two items with audio are transcribed at a time",
  Effect.gen(function* () {
    const session = yield* makeSession({ transcripts: [{ text: "Hello.", afterMs: 1000 }] })
    const audio = pcm(200, true).toString("base64")
    const item = { type: "message", role: "user", content: [{ type: "input_audio", audio }] }
    yield* session.send(...Array.from({ length: 6 }, () => ({ type: "conversation.item.create", item })))
    expect(session.transcribed).toHaveLength(2)
    yield* session.pass(1000)
    expect(session.transcribed).toHaveLength(4)
    yield* session.pass(1000)
    yield* session.pass(1000)
  }),
)

describe("the agent of the session", () => {
  const own = {
    instructions: "You are a pirate.",
    speaking: { model: "mouth", voice: "rough", maxCharacters: Option.none() },
  }
  const withKey = { OPENAI_API_KEY: "sk-test" }

  effectTest(
    "is shown and answers, with what the client sets",
    Effect.gen(function* () {
      const session = yield* makeSession({ agent: own, env: withKey })
      expect(session.of("session.created")).toMatchObject([
        { session: { instructions: "You are a pirate.", audio: { output: { voice: "rough" } } } },
      ])
      yield* session.send(say("Hi."), respond)
      yield* session.send(update({ instructions: "Be brief." }), say("And now?"), respond)
      expect(session.prompts.map(({ prompt }) => prompt.instructions)).toEqual([
        "You are a pirate.",
        "Be brief.",
      ])
      expect(new Set(session.spoken.map(({ voice }) => voice))).toEqual(new Set(["rough"]))
    }),
  )

  effectTest(
    "is the base of a client secret's session",
    Effect.gen(function* () {
      const config = { type: "realtime", max_output_tokens: 77, tools: [] }
      const session = yield* makeSession({ agent: own, env: withKey, config })
      expect(session.of("session.created")).toMatchObject([
        { session: { instructions: "You are a pirate.", max_output_tokens: 77 } },
      ])
    }),
  )

  effectTest(
    "has the names of its models with a key, and those of the engines without one",
    Effect.gen(function* () {
      const names = ({ session }: { readonly session: unknown }) => session
      const hosted = yield* makeSession({ env: withKey })
      yield* hosted.send(update({ audio: { input: { transcription: {} } } }))
      expect(hosted.of("session.updated").map(names)).toMatchObject([
        {
          model: "brain",
          audio: { input: { transcription: { model: "ears" } }, output: { voice: "calm" } },
        },
      ])
      const offline = yield* makeSession()
      yield* offline.send(update({ audio: { input: { transcription: {} } } }), say("Hi."), respond)
      expect(offline.of("session.updated").map(names)).toMatchObject([
        {
          model: "fake",
          audio: { input: { transcription: { model: "fake" } }, output: { voice: "fake" } },
        },
      ])
      // The engine gets the configured voice, not its own name.
      expect(new Set(offline.spoken.map(({ voice }) => voice))).toEqual(new Set(["calm"]))
    }),
  )

  effectTest(
    "calls several tools at once unless the client says no",
    Effect.gen(function* () {
      const tools = [{ type: "function", name: "look" }]
      const session = yield* makeSession()
      yield* session.send(update({ tools }), say("Hi."), respond)
      yield* session.send({ ...respond, response: { parallel_tool_calls: false } })
      yield* session.send(update({ parallel_tool_calls: false }), respond)
      yield* session.send({ ...respond, response: { parallel_tool_calls: true } })
      expect(session.prompts.map(({ prompt }) => prompt.parallelToolCalls)).toEqual([
        true,
        false,
        false,
        true,
      ])
    }),
  )
})
