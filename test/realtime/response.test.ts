import { describe, expect, test } from "bun:test"
import { FastCheck as fc } from "effect"
import type { ServerEvent } from "../../src/realtime/protocol/server-events.ts"
import type { Item } from "../../src/realtime/protocol/server-items.ts"
import { makeResponse, type ResponseEnd, type ResponseOutput } from "../../src/realtime/response.ts"

const SEED = 23

interface Setup {
  readonly modality?: "audio" | "text"
  readonly outOfBand?: boolean
}

const usage = { audioSeconds: 0, inputTokens: 10, outputTokens: 4, charactersSpoken: 20 }

/** The events of a response, and the items of its conversation. */
const render = (
  parts: ReadonlyArray<ResponseOutput>,
  end: ResponseEnd = { _tag: "completed" },
  { modality = "audio", outOfBand = false }: Setup = {},
) => {
  const events: Array<ServerEvent> = []
  const items: Array<string> = ["user"]
  const finished: Array<{ readonly item: Item; readonly ms: number }> = []
  const response = makeResponse(
    {
      id: "resp",
      conversationId: outOfBand ? null : "conv",
      config: {
        output_modalities: modality === "audio" ? ["audio"] : ["text"],
        max_output_tokens: "inf",
        audio: { output: { format: { type: "audio/pcm", rate: 24_000 }, voice: "calm" } },
        metadata: { client_event_id: "7" },
      },
    },
    "message",
    (event) => events.push(event),
    outOfBand
      ? undefined
      : {
          add: (item) => {
            const previous = items.at(-1) ?? null
            items.push(item.id)
            return previous
          },
          finish: (item, ms) => finished.push({ item, ms }),
        },
  )
  response.begin()
  for (const part of parts) response.output(part)
  response.end(end, usage)
  return { events, items, finished, response }
}

const typesOf = ({ events }: { readonly events: ReadonlyArray<ServerEvent> }) =>
  events.map(({ type }) => type)
const doneOf = ({ events }: { readonly events: ReadonlyArray<ServerEvent> }) => {
  const last = events.at(-1)
  if (last?.type !== "response.done") throw new Error(`the last event is ${last?.type}`)
  return last.response
}

const text = (said: string): ResponseOutput => ({ _tag: "Text", text: said })
const audio = (ms = 100): ResponseOutput => ({ _tag: "Audio", delta: "AAAA", ms })
const call = (args = '{"city":"Oslo"}'): ResponseOutput => ({
  _tag: "ToolCall",
  itemId: "call-item",
  callId: "call_1",
  name: "get_weather",
  arguments: args,
})

describe("a response", () => {
  test("with audio", () => {
    const rendered = render([text("Hello"), text("."), audio(), audio(50)])
    expect(typesOf(rendered)).toEqual([
      "response.created",
      "response.output_item.added",
      "conversation.item.added",
      "response.content_part.added",
      "response.output_audio_transcript.delta",
      "response.output_audio_transcript.delta",
      "response.output_audio.delta",
      "response.output_audio.delta",
      "response.output_audio.done",
      "response.output_audio_transcript.done",
      "response.content_part.done",
      "conversation.item.done",
      "response.output_item.done",
      "response.done",
    ])
    expect(rendered.events[0]).toMatchObject({
      response: {
        status: "in_progress",
        status_details: null,
        output: [],
        usage: null,
        metadata: { client_event_id: "7" },
      },
    })
    expect(rendered.events[2]).toMatchObject({
      previous_item_id: "user",
      item: { content: [], status: "in_progress" },
    })
    expect(rendered.events[3]).toMatchObject({ part: { type: "audio", transcript: "" } })
    expect(rendered.events[11]).toMatchObject({
      previous_item_id: "user",
      item: { status: "completed", content: [{ type: "output_audio", transcript: "Hello." }] },
    })
    expect(doneOf(rendered)).toMatchObject({
      status: "completed",
      status_details: { type: "completed" },
      output: [{ id: "message", status: "completed" }],
      metadata: { client_event_id: "7" },
      usage: {
        total_tokens: 14,
        input_tokens: 10,
        output_tokens: 4,
        input_token_details: { text_tokens: 10, audio_tokens: 0, cached_tokens: 0 },
        output_token_details: { text_tokens: 4, audio_tokens: 0 },
      },
    })
    expect(rendered.finished.map(({ ms }) => ms)).toEqual([150])
  })

  test("with text", () => {
    const rendered = render([text("Hello"), text(".")], { _tag: "completed" }, { modality: "text" })
    expect(typesOf(rendered)).toEqual([
      "response.created",
      "response.output_item.added",
      "conversation.item.added",
      "response.content_part.added",
      "response.output_text.delta",
      "response.output_text.delta",
      "response.output_text.done",
      "response.content_part.done",
      "conversation.item.done",
      "response.output_item.done",
      "response.done",
    ])
    expect(rendered.events[3]).toMatchObject({ part: { type: "text", text: "" } })
    expect(rendered.events[7]).toMatchObject({ part: { type: "text", text: "Hello." } })
    expect(doneOf(rendered).output).toMatchObject([{ content: [{ type: "output_text", text: "Hello." }] }])
  })

  test("with a call alone", () => {
    const rendered = render([call()])
    expect(typesOf(rendered)).toEqual([
      "response.created",
      "response.output_item.added",
      "conversation.item.added",
      "response.function_call_arguments.delta",
      "response.function_call_arguments.done",
      "conversation.item.done",
      "response.output_item.done",
      "response.done",
    ])
    expect(rendered.events[1]).toMatchObject({ item: { status: "in_progress", arguments: "" } })
    expect(rendered.events[6]).toMatchObject({
      output_index: 0,
      item: { status: "completed", call_id: "call_1", name: "get_weather", arguments: '{"city":"Oslo"}' },
    })
  })

  test("with text and a call", () => {
    const rendered = render([text("One moment."), call(), audio()])
    expect(doneOf(rendered).output.map(({ type }) => type)).toEqual(["message", "function_call"])
    expect(rendered.items).toEqual(["user", "message", "call-item"])
  })

  test("with a call without arguments", () => {
    expect(doneOf(render([call("")])).output).toMatchObject([{ arguments: "{}" }])
  })

  test("without any output", () => {
    const rendered = render([])
    expect(typesOf(rendered)).toEqual(["response.created", "response.done"])
    expect(doneOf(rendered).output).toEqual([])
  })

  test("out of band", () => {
    const rendered = render([text("Hi."), audio(), call()], { _tag: "completed" }, { outOfBand: true })
    expect(typesOf(rendered).filter((type) => type.startsWith("conversation."))).toEqual([])
    expect(doneOf(rendered)).toMatchObject({
      conversation_id: null,
      output: [{ type: "message" }, { type: "function_call" }],
    })
  })
})

describe("an end before the end", () => {
  const closing = [
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
  ] as const

  test("cancelled", () => {
    const rendered = render([text("Hello"), audio()], { _tag: "cancelled", reason: "turn_detected" })
    expect(typesOf(rendered).slice(-6)).toEqual([...closing])
    expect(doneOf(rendered)).toMatchObject({
      status: "cancelled",
      status_details: { type: "cancelled", reason: "turn_detected" },
      output: [{ status: "incomplete" }],
      usage: { total_tokens: 14 },
    })
  })

  test("cancelled before any output", () => {
    const rendered = render([], { _tag: "cancelled", reason: "client_cancelled" })
    expect(typesOf(rendered)).toEqual(["response.created", "response.done"])
  })

  test("a call that was made stays completed", () => {
    const rendered = render([text("Hello"), call()], { _tag: "cancelled", reason: "client_cancelled" })
    expect(doneOf(rendered).output).toMatchObject([{ status: "incomplete" }, { status: "completed" }])
  })

  test.each(["max_output_tokens", "content_filter"] as const)("incomplete by %s", (reason) => {
    expect(doneOf(render([text("Hello"), audio()], { _tag: "incomplete", reason }))).toMatchObject({
      status: "incomplete",
      status_details: { type: "incomplete", reason },
      output: [{ status: "incomplete" }],
    })
  })

  test("failed", () => {
    const error = { type: "server_error", code: "model_failed", message: "No reply." } as const
    expect(doneOf(render([], { _tag: "failed", error }))).toMatchObject({
      status: "failed",
      status_details: { type: "failed", error },
      output: [],
    })
  })
})

const part: fc.Arbitrary<ResponseOutput> = fc.oneof(
  { weight: 4, arbitrary: fc.string({ minLength: 1, maxLength: 4 }).map(text) },
  { weight: 4, arbitrary: fc.integer({ min: 1, max: 200 }).map(audio) },
  {
    weight: 1,
    arbitrary: fc.record({
      _tag: fc.constant("ToolCall" as const),
      itemId: fc.uuid(),
      callId: fc.uuid(),
      name: fc.constant("f"),
      arguments: fc.constantFrom("", "{}", '{"a":1}'),
    }),
  },
)
const end: fc.Arbitrary<ResponseEnd> = fc.constantFrom<ResponseEnd>(
  { _tag: "completed" },
  { _tag: "cancelled", reason: "turn_detected" },
  { _tag: "incomplete", reason: "content_filter" },
  { _tag: "failed", error: { type: "server_error", code: "model_failed", message: "No reply." } },
)

test("any output gives consistent events, and one end", () => {
  fc.assert(
    fc.property(
      fc.array(part, { maxLength: 30 }),
      end,
      fc.constantFrom("audio" as const, "text" as const),
      fc.boolean(),
      fc.array(part, { maxLength: 3 }),
      (given, ending, modality, outOfBand, late) => {
        // No audio comes for a reply that is not spoken.
        const parts = given.filter(({ _tag }) => modality === "audio" || _tag !== "Audio")
        const rendered = render(parts, ending, { modality, outOfBand })
        const { events, response } = rendered
        const count = events.length
        for (const each of late) response.output(each)
        response.end({ _tag: "completed" }, usage)
        expect(events).toHaveLength(count)

        const types = typesOf(rendered)
        expect(types.indexOf("response.created")).toBe(0)
        expect(types.filter((type) => type === "response.done")).toEqual(["response.done"])
        const { output, status } = doneOf(rendered)
        expect(status).toBe(ending._tag)

        const added = events.flatMap((event) => (event.type === "response.output_item.added" ? [event] : []))
        const done = events.flatMap((event) => (event.type === "response.output_item.done" ? [event] : []))
        expect(added.map(({ output_index }) => output_index)).toEqual(added.map((_, at) => at))
        expect(done.map(({ output_index }) => output_index).toSorted((a, b) => a - b)).toEqual(
          added.map((_, at) => at),
        )
        expect(done.toSorted((a, b) => a.output_index - b.output_index).map(({ item }) => item)).toEqual([
          ...output,
        ])

        // Every event of an item stands between its added and its done.
        for (const { item } of added) {
          const from = events.findIndex(
            (event) => event.type === "response.output_item.added" && event.item.id === item.id,
          )
          const to = events.findIndex(
            (event) => event.type === "response.output_item.done" && event.item.id === item.id,
          )
          const own = events.flatMap((event, at) =>
            "item_id" in event && event.item_id === item.id ? [at] : [],
          )
          expect(own.every((at) => from < at && at < to)).toBe(true)
        }
        for (const stem of ["response.content_part", "conversation.item"]) {
          expect(types.filter((type) => type === `${stem}.added`)).toHaveLength(
            types.filter((type) => type === `${stem}.done`).length,
          )
        }

        // The deltas are the whole.
        const written = parts.map((each) => (each._tag === "Text" ? each.text : "")).join("")
        const deltas = events.flatMap((event) =>
          event.type === "response.output_audio_transcript.delta" ||
          event.type === "response.output_text.delta"
            ? [event.delta]
            : [],
        )
        expect(deltas.join("")).toBe(written)
        const message = output.find((item) => item.type === "message")
        const hasMessage = parts.some(({ _tag }) => _tag !== "ToolCall")
        expect(message !== undefined).toBe(hasMessage)
        if (message?.type === "message") {
          expect(message.content.map((each) => ("text" in each ? each.text : each.transcript))).toEqual([
            written,
          ])
        }
        const sentMs = parts.reduce((sum, each) => sum + (each._tag === "Audio" ? each.ms : 0), 0)
        expect(response.message().audioMs).toBe(sentMs)
      },
    ),
    { seed: SEED },
  )
})
