import { afterAll, beforeAll, beforeEach, describe, expect, spyOn, test } from "bun:test"
import { Cause, Effect, Exit, Option } from "effect"
import { pcm16k } from "../../../src/audio/pcm.ts"
import { cleanReplies, ModelEvent } from "../../../src/providers/language-model.ts"
import type { OpenAiClient } from "../../../src/providers/openai/client.ts"
import { makeCompletion } from "../../../src/providers/openai/completion.ts"
import { generateWith } from "../../../src/providers/openai/language-model.ts"
import { transcribeWith } from "../../../src/providers/openai/transcriber.ts"
import { noTools } from "../../../src/providers/tools.ts"
import { newId, TurnId } from "../../../src/schema.ts"
import { clientOf } from "../../support/openai-client.ts"
import { fail, type Step, startUpstream, type Upstream } from "../../support/upstream.ts"

let upstream: Upstream
let client: OpenAiClient
beforeAll(async () => {
  upstream = await startUpstream()
  client = clientOf(upstream.baseUrl)
})
afterAll(() => upstream.stop())
beforeEach(() => upstream.reset())

const turnId = newId(TurnId)
const failureOf = <A, E>(exit: Exit.Exit<A, E>) =>
  Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined

describe("the model's answer", () => {
  const prompt = {
    instructions: "Be brief.",
    messages: [{ role: "user", content: "Well?" }],
    ...noTools,
  } as const
  const options = { turnId, model: "gpt-x", maxTokens: Option.some(40), temperature: Option.some(0.5) }

  const run = async (step: Step) => {
    upstream.script("llm", [step])
    const events: Array<ModelEvent> = []
    const generate = cleanReplies(generateWith(client))(prompt, options, (event) => events.push(event))
    const exit = await Effect.runPromiseExit(generate)
    const text = events.flatMap((event) => (event._tag === "Text" ? [event.text] : [])).join("")
    return { text, end: events.find(ModelEvent.$is("End"))?.reason, failure: failureOf(exit), exit, events }
  }

  const raw = (body: string, contentType = "text/event-stream"): Step => ({ raw: { body, contentType } })
  const data = (...values: ReadonlyArray<unknown>) =>
    values.map((value) => `data: ${typeof value === "string" ? value : JSON.stringify(value)}\n\n`).join("")
  const stream = (...chunks: ReadonlyArray<unknown>) => raw(data(...chunks, "[DONE]"))
  const delta = (delta: unknown, finish_reason: string | null = null) => ({
    choices: [{ index: 0, delta, finish_reason }],
  })
  const yes = delta({ content: "Yes." })
  const stop = delta({}, "stop")

  test.each([
    [
      "parts",
      delta({
        content: [
          { type: "text", text: "Yes" },
          { type: "output_text", text: "." },
        ],
      }),
    ],
    ["strings in a list", delta({ content: ["Yes", "."] })],
    ["one part", delta({ content: { type: "text", text: "Yes." } })],
    ["a part without a type", delta({ content: [{ text: "Yes." }] })],
    [
      "a part that is thinking",
      delta({
        content: [
          { type: "thinking", thinking: [{ type: "text", text: "Hm." }] },
          { type: "text", text: "Yes." },
        ],
      }),
    ],
    ["a message in place of a delta", { choices: [{ message: { role: "assistant", content: "Yes." } }] }],
  ])("in %s is text", async (_, chunk) => {
    expect(await run(stream(chunk, stop))).toMatchObject({ text: "Yes.", end: "stop" })
  })

  const senseless = [
    ...[5, {}, [], true, null, [null], [5], { type: "image" }, [{ type: "text", text: 5 }]].map((content) =>
      delta({ content }),
    ),
    delta(null),
    delta("text"),
    delta({ refusal: 5, reasoning_content: 5 }),
    { choices: {} },
    { choices: [null] },
    { choices: [[]] },
    { choices: "x" },
    { choices: [] },
    {},
    [],
    5,
    "null",
    "true",
    "ping",
    "",
    { error: null, choices: [{ delta: {}, error: null }] },
    { usage: [], choices: [{ finish_reason: 5 }] },
  ].map((chunk) => ({ chunk }))

  test.each(senseless)("skips a chunk without sense: %j", async ({ chunk }) => {
    expect(await run(stream(chunk, yes, stop))).toMatchObject({ text: "Yes.", end: "stop" })
    const { failure } = await run(stream(chunk, stop))
    expect(failure).toMatchObject({ _tag: "ProviderUnusable", retryable: true, reason: "no text in it" })
  })

  const lists = (levels: number) => "[".repeat(levels) + "]".repeat(levels)
  const objects = (levels: number) => `${'{"content":'.repeat(levels)}1${"}".repeat(levels)}`

  test.each([
    ["a list of", "content", lists(50_000)],
    ["an object of", "content", objects(50_000)],
    ["thinking of", "reasoning", lists(50_000)],
  ])("in %s thousands of levels is unusable", async (_, field, value) => {
    const chunk = `{"choices":[{"delta":{"${field}":${value}}}]}`
    const unusable = { _tag: "ProviderUnusable", retryable: true }
    expect((await run(stream(chunk, yes, stop))).failure).toMatchObject(unusable)
    expect((await run(raw(chunk))).failure).toMatchObject(unusable)
    expect((await run(raw(`{"error":${value}}`))).failure).toMatchObject(unusable)
  })

  test("in a few levels is text", async () => {
    const content = JSON.parse(`${"[".repeat(20)}"Yes."${"]".repeat(20)}`)
    expect(await run(stream(delta({ content }), stop))).toMatchObject({ text: "Yes." })
    expect(await run(stream(delta({ content: '[{"\\'.repeat(100) }), stop))).toMatchObject({ end: "stop" })
  })

  const message = (content: unknown, finish_reason = "stop") => ({
    object: "chat.completion",
    choices: [{ index: 0, message: { role: "assistant", content, refusal: null }, finish_reason }],
    usage: { prompt_tokens: 5, completion_tokens: 2 },
  })

  test.each([
    ["as JSON", "application/json"],
    ["as text", "text/plain"],
    ["as events", "text/event-stream"],
  ])("in one document, labelled %s, is read", async (_, contentType) => {
    const { text, end, events } = await run(
      raw(` \n${JSON.stringify(message("Yes."), null, 2)}\n`, contentType),
    )
    expect({ text, end }).toEqual({ text: "Yes.", end: "stop" })
    expect(events).toContainEqual(ModelEvent.Usage({ inputTokens: 5, outputTokens: 2 }))
  })

  test("in one document, as a list of parts or of chunks, is read", async () => {
    expect(await run(raw(JSON.stringify(message([{ type: "text", text: "Yes." }]))))).toMatchObject({
      text: "Yes.",
    })
    expect(await run(raw(JSON.stringify([yes, yes])))).toMatchObject({ text: "Yes.Yes." })
  })

  test("in an event of thousands of lines is parsed once", async () => {
    const event = { ...yes, x: Array.from({ length: 3000 }, () => "a line") }
    const lines = JSON.stringify(event, null, 1).split("\n")
    const parse = spyOn(JSON, "parse")
    try {
      const answer = await run(raw(`${lines.map((line) => `data: ${line}\n`).join("")}\n${data(stop)}`))
      expect(answer).toMatchObject({ text: "Yes." })
      expect(parse.mock.calls.filter(([text]) => `${text}`.includes("Yes.")).length).toBe(1)
    } finally {
      parse.mockRestore()
    }
  })

  const thinking = (reasoning: string) => delta({ reasoning_content: reasoning, reasoning })
  const called = (name: string | undefined, args: string) =>
    delta({ tool_calls: [{ index: 0, function: { name, arguments: args } }] })
  test.each([
    ["text", [yes], 4],
    ["hidden thinking", [delta({ content: "<think>1234</think>" })], 19],
    ["thinking in two fields", [thinking("1234"), thinking("56")], 6],
    ["thinking in details", [delta({ reasoning_details: [{ type: "reasoning.text", text: "12345" }] })], 5],
    [
      "thinking in parts",
      [delta({ content: [{ type: "thinking", thinking: [{ type: "text", text: "123" }] }] })],
      3,
    ],
    ["a call that is not whole", [called("door", ""), called(undefined, '{"a"')], 8],
    ["a call with its arguments as an object", [delta({ function_call: { name: "x", arguments: {} } })], 3],
  ])("is counted as it is written: %s", async (_, chunks, expected) => {
    const written: Array<number> = []
    const watched = { ...options, onWritten: (characters: number) => void written.push(characters) }
    // Without its end.
    upstream.script("llm", [raw(data(...chunks))])
    await Effect.runPromiseExit(cleanReplies(generateWith(client))(prompt, watched, () => undefined))
    expect(written.reduce((sum, characters) => sum + characters, 0)).toBe(expected)
  })

  test.each([-1, 1.5, "many", 100_000_001, 1e300])("with a wrong count of %s has none", async (count) => {
    for (const usage of [
      { prompt_tokens: count, completion_tokens: 1 },
      { prompt_tokens: 1, completion_tokens: count },
    ]) {
      const { events } = await run(stream(yes, { ...stop, usage }))
      expect(events.filter(ModelEvent.$is("Usage"))).toEqual([])
    }
  })

  test("after white space that keeps the connection open is read", () => {
    const events: Array<ModelEvent> = []
    const completion = makeCompletion((event) => events.push(event))
    const bytes = new TextEncoder().encode(" \r\n\t".repeat(250))
    for (let n = 0; n < 4000; n += 1) completion.push(bytes)
    // Each is a sign of life.
    expect(events.length).toBe(4000)
    completion.push(new TextEncoder().encode(JSON.stringify(message("Yes."))))
    expect(completion.finish()).toBeUndefined()
    expect(events).toContainEqual(ModelEvent.Text({ text: "Yes." }))
  })

  test("that is HTML is read no further", () => {
    const completion = makeCompletion(() => undefined)
    completion.push(new TextEncoder().encode("\n <html>"))
    expect(completion.hasEnded()).toBe(true)
    expect(completion.finish()).toMatchObject({ reason: "HTML where the answer should be" })
  })

  test("in events labelled as JSON is read", async () => {
    expect(await run(raw(data(yes, stop, "[DONE]"), "application/json"))).toMatchObject({ text: "Yes." })
  })

  const call = { index: 0, function: { name: "x", arguments: "{}" } }
  test.each([
    ["calls", stream(delta({ tool_calls: [call] }), delta({}, "tool_calls"))],
    ["calls that end with stop", stream(delta({ tool_calls: [call] }), stop)],
    ["an old call", stream(delta({ function_call: { name: "x" } }), stop)],
    ["a document", raw(JSON.stringify({ choices: [{ message: { content: null, tool_calls: [call] } }] }))],
  ])("with a tool call alone is that call, also where no tools are offered: %s", async (_, step) => {
    const { events, end, failure } = await run(step)
    expect(failure).toBeUndefined()
    expect(events.filter(ModelEvent.$is("ToolCall"))).toMatchObject([{ name: "x" }])
    expect(end).toBe("tools")
  })

  test.each([
    ["an end alone", stream(delta({}, "function_call"))],
    ["markup", stream(delta({ content: '<tool_call>{"name":"x"}</tool_call>' }), stop)],
  ])("with a call that cannot be read gets no other try: %s", async (_, step) => {
    expect((await run(step)).failure).toMatchObject({ kind: "tools", retryable: false })
  })

  test("with words and a tool call is text", async () => {
    expect(await run(stream(yes, delta({ tool_calls: [call] }, "tool_calls")))).toMatchObject({
      text: "Yes.",
      end: "tools",
    })
  })

  test.each([
    ["nothing", stream(stop)],
    ["white space", stream(delta({ content: " \n\n" }), stop)],
    ["an empty list of calls", stream(delta({ tool_calls: [] }), stop)],
    ["a document", raw(JSON.stringify(message("")))],
  ])("with %s alone is empty", async (_, step) => {
    expect((await run(step)).failure).toMatchObject({ kind: "empty", retryable: true })
  })

  test("without end gets no other try", async () => {
    const { failure } = await run(raw("x".repeat(17 * 1024 * 1024)))
    expect(failure).toMatchObject({ kind: "endless", retryable: false })
  })

  test("does not say twice what a server repeats as a message", async () => {
    const last = { choices: [{ message: { content: "Yes. No." }, finish_reason: "stop" }] }
    expect(await run(stream(yes, delta({ content: " No." }), last))).toMatchObject({ text: "Yes. No." })
  })

  test.each([
    ["without a blank line", `data: ${JSON.stringify(yes)}\ndata: ${JSON.stringify(stop)}\ndata: [DONE]`],
    [
      "with remarks between them",
      `data: ${JSON.stringify(yes)}\ndata: null\ndata: 5\ndata: ${JSON.stringify(stop)}\ndata: [DONE]\ndata: x`,
    ],
    [
      "on many lines",
      `data: ${JSON.stringify(yes, null, 2).replaceAll("\n", "\ndata: ")}\ndata: ${JSON.stringify(stop)}\n\ndata: [DONE]\n\n`,
    ],
    ["with CRLF", data(yes, stop, "[DONE]").replaceAll("\n", "\r\n")],
    ["without a space", data(yes, stop, "[DONE]").replaceAll("data: ", "data:")],
    [
      "with names, ids and remarks",
      `: hello\n\nevent: message\nid: 1\nretry: 5\n${data(yes)}:\n\n${data(stop)}`,
    ],
    [
      "over several lines",
      `data: {"choices":\ndata: [{"delta":{"content":"Yes."},\ndata: "finish_reason":"stop"}]}\n\n`,
    ],
    ["with a byte order mark", `\uFEFF${data(yes, stop)}`],
  ])("in events %s is read", async (_, body) => {
    expect(await run(raw(body))).toMatchObject({ text: "Yes.", end: "stop" })
  })

  test("is read however its bytes are cut", async () => {
    const step = stream(
      delta({ content: "Grüße 😀 " }),
      delta({ content: "<think>" }),
      delta({ content: "x</think>日本" }),
      stop,
    )
    for (const chunkBytes of [1, 2, 3, 7]) {
      expect(await run({ ...step, chunkBytes })).toMatchObject({ text: "Grüße 😀 日本", end: "stop" })
    }
  })

  test("is whole with [DONE] or with a finish_reason, and broken without both", async () => {
    expect(await run(stream(yes, delta({ content: " No." })))).toMatchObject({
      text: "Yes. No.",
      end: "stop",
    })
    expect(await run(raw(data(yes, stop)))).toMatchObject({ text: "Yes.", end: "stop" })
    const { failure, end } = await run(raw(data(yes)))
    expect(failure).toMatchObject({ retryable: true, reason: "the stream ended without its end mark" })
    expect(end).toBeUndefined()
  })

  test.each([
    ["error", undefined],
    ["insufficient_system_resource", undefined],
    ["abort", undefined],
    ["max_tokens", "length"],
    ["SAFETY", "filtered"],
    ["content-filter", "filtered"],
  ])("with the finish_reason %s ends as %s", async (reason, end) => {
    const result = await run(stream(yes, delta({}, reason)))
    expect(`${result.end}`).toBe(`${end}`)
    if (end === undefined) expect(result.failure).toMatchObject({ retryable: true })
  })

  test.each([
    ["a field", delta({ refusal: "I can't." })],
    ["a part", delta({ content: [{ type: "refusal", refusal: "I can't." }] })],
    ["a message", { choices: [{ message: { content: null, refusal: "I can't." } }] }],
  ])("is the refusal, in %s", async (_, chunk) => {
    expect(await run(stream(chunk, stop))).toMatchObject({ text: "I can't.", end: "refused" })
  })

  const fails = (kind: string) => ({ _tag: "ProviderUnusable", kind, retryable: false })

  test("that a filter took is declined, and final", async () => {
    for (const reason of ["content_filter", "PROHIBITED_CONTENT"]) {
      const { failure } = await run(stream(delta({ content: null }, reason)))
      expect(failure).toMatchObject(fails("declined"))
    }
    const filtered = await run(raw(JSON.stringify(message(null, "content_filter")), "application/json"))
    expect(filtered.failure).toMatchObject(fails("declined"))
  })

  test.each([
    ["reasoning_content", stream(delta({ reasoning_content: "Hm." }), delta({}, "length"))],
    ["reasoning and stop", stream(delta({ reasoning: "Hm." }), stop)],
    ["reasoning_details", stream(delta({ reasoning_details: [{ type: "x" }] }), stop)],
    ["thinking parts", stream(delta({ content: [{ type: "thinking", thinking: "Hm." }] }), stop)],
    ["an open tag", stream(delta({ content: "<think>Hm." }), delta({}, "length"))],
    [
      "hidden tokens",
      stream({ ...delta({}, "stop"), usage: { completion_tokens_details: { reasoning_tokens: 40 } } }),
    ],
    ["length alone", stream(delta({}, "length"))],
    ["one document", raw(JSON.stringify({ choices: [{ message: { content: "", reasoning: "Hm." } }] }))],
  ])("that is only thinking is final: %s", async (_, step) => {
    expect(await run(step)).toMatchObject({ failure: fails("thinking"), text: "" })
  })

  test("after thinking is the text alone", async () => {
    const step = stream(
      delta({ reasoning_content: "Hm.", content: "" }),
      delta({ content: "</think>\n\nYes." }),
      stop,
    )
    expect(await run(step)).toMatchObject({ text: "Yes.", end: "stop" })
  })

  test.each([
    [{ message: "slow down", code: "rate_limit_exceeded" }, { _tag: "ProviderRateLimited" }],
    [{ message: "slow down", code: 429 }, { _tag: "ProviderRateLimited" }],
    [{ message: "x", type: "insufficient_quota", code: "insufficient_quota" }, fails("no-credit")],
    [{ message: "no money", code: 402 }, fails("no-credit")],
    [{ message: "x", code: "model_not_found" }, fails("no-model")],
    [{ message: "x", type: "authentication_error" }, { _tag: "ProviderRefusedKey" }],
    [
      { message: "Too long.", type: "invalid_request_error" },
      { _tag: "ProviderRefusedRequest", message: "Too long." },
    ],
    [
      { message: "x", type: "server_error" },
      { _tag: "ProviderUnusable", retryable: true },
    ],
    [
      { message: "x", code: 502 },
      { _tag: "ProviderUnusable", retryable: true, reason: "status 502" },
    ],
    ["the runner has stopped", { _tag: "ProviderUnusable", retryable: true }],
  ])("keeps the class of an error in it: %j", async (error, expected) => {
    expect((await run(raw(data(yes, { error })))).failure).toMatchObject(expected)
    expect(
      (await run(stream({ choices: [{ delta: {}, finish_reason: "error", error }] }))).failure,
    ).toMatchObject(expected)
    expect((await run(raw(JSON.stringify({ error }), "application/json"))).failure).toMatchObject(expected)
  })

  test.each([
    [{ detail: "busy" }, { retryable: true, reason: "no text in it" }],
    [
      { message: "x", code: "insufficient_quota" },
      { kind: "no-credit", retryable: false },
    ],
    [{ detail: { message: "x", code: "insufficient_quota" } }, { kind: "no-credit", retryable: false }],
    [
      { message: "x", type: "invalid_request_error" },
      { _tag: "ProviderRefusedRequest", message: "x" },
    ],
    [{ title: "Unauthorized", status: 401 }, { _tag: "ProviderRefusedKey" }],
    [{ error: { code: "insufficient_quota" } }, { kind: "no-credit", retryable: false }],
    [{ error: "busy" }, { retryable: true }],
    [[{ error: { code: 429, message: "x" } }], { _tag: "ProviderRateLimited" }],
  ])("in a document without it is that document's error: %j", async (document, expected) => {
    const whole = JSON.stringify(document)
    expect((await run(raw(whole, "application/json"))).failure).toMatchObject(expected)
    expect((await run(stream(...[document].flat()))).failure).toMatchObject(expected)
  })

  test("is an error too in the form of vLLM", async () => {
    const error = { object: "error", message: "Too long.", type: "BadRequestError", param: null, code: 400 }
    expect((await run(raw(data(error, "[DONE]")))).failure).toMatchObject({ message: "Too long." })
  })

  test.each([
    ["cut-off JSON in an event", raw('data: {"choices":[{"delta":\n\n')],
    ["a cut-off document", raw('{"choices":[{"message":')],
    ["HTML", raw("<html>no</html>", "text/html")],
    ["nothing", raw("", "application/json")],
  ])("that is %s is broken", async (_, step) => {
    expect((await run(step)).failure).toMatchObject({ _tag: "ProviderUnusable", retryable: true })
  })
})

test("the words of an error are read from a JSON string and from a body that is cut off", async () => {
  const body = '"Too long."'
  const step: Step = { raw: { body, status: 400 } }
  upstream.script("stt", [step, { ...step, ...fail.cutOff({ bytes: 4 }) }])
  const speech = pcm16k(new Uint8Array(3200).fill(7))
  const options = { turnId, model: "whisper-1", language: Option.none() }
  const refuse = async () => failureOf(await Effect.runPromiseExit(transcribeWith(client)(speech, options)))
  expect(await refuse()).toMatchObject({ _tag: "ProviderRefusedRequest", message: "Too long." })
  expect(await refuse()).toMatchObject({ _tag: "ProviderRefusedRequest" })
})

describe("the transcript", () => {
  const speech = pcm16k(new Uint8Array(3200).fill(7))
  const run = async (body: string, contentType: string) => {
    upstream.script("stt", [{ raw: { body, contentType } }])
    const transcribe = transcribeWith(client)(speech, { turnId, model: "whisper-1", language: Option.none() })
    const exit = await Effect.runPromiseExit(transcribe)
    return Exit.isSuccess(exit) ? exit.value.text : failureOf(exit)
  }
  const json = "application/json"
  const plain = "text/plain; charset=utf-8"

  test.each([
    ["JSON", '{"text":" Hello. "}', json],
    ["JSON labelled as text", '{"text":"Hello."}', plain],
    ["JSON labelled as HTML", '{"text":"Hello."}', "text/html"],
    ["text", "Hello.\n", plain],
    ["text labelled as JSON", "Hello.", json],
    ["a JSON string", '"Hello."', json],
    ["a JSON string labelled as text", '"Hello."', plain],
    ["another field", '{"transcript":"Hello."}', json],
    ["one more field", '{"transcription":"Hello."}', json],
    ["segments alone", '{"segments":[{"text":" Hello"},{"text":"."}]}', json],
    [
      "NaN",
      '{"text":"Hello.","segments":[{"text":"Hello.","avg_logprob":NaN,"x":-Infinity,"no_speech_prob":NaN}]}',
      json,
    ],
    ["SRT", "1\n00:00:00,000 --> 00:00:01,000\nHello.\n\n", plain],
    ["WebVTT", "WEBVTT\n\n00:00.000 --> 00:01.000\nHello.\n", "text/vtt"],
    ["tokens", '{"text":"<|en|><|transcribe|><|0.00|> Hello.<|1.00|>"}', json],
    ["a list", '[{"text":" Hello"},{"text":"."}]', json],
    ["a result", '{"result":{"text":"Hello."}}', json],
    ["a list of results", '{"results":[{"alternatives":[{"transcript":"Hello."}]}]}', json],
    [
      "Deepgram's results",
      '{"metadata":{},"results":{"channels":[{"alternatives":[{"transcript":"Hello.","confidence":1}]}]}}',
      json,
    ],
    ["TSV", "start\tend\ttext\n0\t500\tHello.\n", plain],
    [
      "events",
      'data: {"type":"transcript.text.delta","delta":"Hel"}\n\ndata: {"type":"transcript.text.done","text":"Hello."}\n\ndata: [DONE]\n\n',
      "text/event-stream",
    ],
    [
      "events with names",
      'event: transcript.text.done\ndata: {"type":"transcript.text.done","text":"Hello."}\n\n',
      "text/event-stream",
    ],
    ["a byte order mark", '\uFEFF{"text":"Hello."}', json],
  ])("in %s is read", async (_, body, contentType) => {
    expect(await run(body, contentType)).toBe("Hello.")
  })

  test.each([
    [
      "several cues",
      "1\r\n00:00:00,000 --> 00:00:01,000\r\nOne,\r\ntwo.\r\n\r\n2\r\n00:00:01,000 --> 00:00:02,000\r\nThree.",
      plain,
      "One, two. Three.",
    ],
    ["a number", "42", plain, "42"],
    ["the word NaN", '{"text":"NaN is \\"NaN\\""}', json, 'NaN is "NaN"'],
    ["a remark", "[Music] Hello.", plain, "[Music] Hello."],
    ["quoted words", '"Hello," she said.', plain, '"Hello," she said.'],
    ["silence", '{"text":""}', json, ""],
    ["silence in text", "\n", plain, ""],
  ])("of %s is as it is", async (_, body, contentType, text) => {
    expect(await run(body, contentType)).toBe(text)
  })

  test.each([
    ["null", "null", json],
    ["a null text", '{"text":null}', json],
    ["a number", "5", json],
    ["true", "true", json],
    ["a list", "[]", json],
    ["a text that is none", '{"text":["a"]}', json],
    ["HTML", "<html>no</html>", "text/html"],
    ["HTML labelled as text", "<!doctype html><p>no", plain],
    ["cut-off JSON", '{"text":"Hello', json],
    ["events", 'data: {"text":"Hello."}\n\n', "text/event-stream"],
    ["nothing", "", json],
  ])("is missing in %s", async (_, body, contentType) => {
    expect(await run(body, contentType)).toMatchObject({
      _tag: "ProviderUnusable",
      retryable: true,
      reason: "no transcript in it",
    })
  })

  test.each([
    [{ detail: "busy" }, { retryable: true, reason: "no transcript in it" }],
    [
      { message: "x", code: "insufficient_quota" },
      { kind: "no-credit", retryable: false },
    ],
    [{ detail: { message: "x", code: "insufficient_quota" } }, { kind: "no-credit", retryable: false }],
    [
      { message: "x", type: "invalid_request_error" },
      { _tag: "ProviderRefusedRequest", message: "x" },
    ],
    [{ title: "Unauthorized", status: 401 }, { _tag: "ProviderRefusedKey" }],
    [{ error: { code: "insufficient_quota" } }, { kind: "no-credit", retryable: false }],
    [{ error: "busy" }, { retryable: true }],
    [[{ error: { code: 429, message: "x" } }], { _tag: "ProviderRateLimited" }],
  ])("in a document without it is that document's error: %j", async (document, expected) => {
    for (const type of [json, plain]) {
      expect(await run(JSON.stringify(document), type)).toMatchObject(expected)
    }
  })

  test.each([
    "{laughs} hello there",
    "{laughs}",
    "[laughs] {coughs}",
    "<unk> hello",
    "<3 you too",
    "data: that is the word",
    "event: the opening",
    "[{not JSON} hello",
    "<laughs> hello",
    "< hello",
  ])("as text may begin with a bracket: %s", async (text) => {
    expect(await run(text, plain)).toBe(text)
    expect(await run(text, `${plain}; charset=utf-8`)).toBe(text)
  })

  test.each([
    ["JSON that is cut off", '{"text":"Hello'],
    ["HTML", "<html><body>502</body></html>"],
    ["a heading", "<h1>502 Bad Gateway</h1>"],
    ["an empty object", "{}"],
    ["XML", '<?xml version="1.0"?><Error/>'],
    ["events", 'data: {"text":"Hello."}\n\n'],
    ["named events", 'event: done\ndata: {"text":"Hello."}\n\n'],
  ])("is missing in text of %s", async (_, body) => {
    expect(await run(body, plain)).toMatchObject({ retryable: true, reason: "no transcript in it" })
  })

  test("in events that are cut off is none", async () => {
    const events = 'data: {"type":"transcript.text.delta","delta":"Hel"}\n\n'
    expect(await run(events, "text/event-stream")).toMatchObject({
      _tag: "ProviderUnusable",
      retryable: true,
    })
    const error = 'data: {"type":"error","error":{"code":429,"message":"x"}}\n\n'
    expect(await run(error, "text/event-stream")).toMatchObject({ _tag: "ProviderRateLimited" })
  })

  test("with an error in it is that error", async () => {
    expect(await run('{"error":{"message":"x","code":429}}', json)).toMatchObject({
      _tag: "ProviderRateLimited",
    })
  })

  test("in thousands of levels is unusable", async () => {
    const body = `{"text":"Hi","x":${"[".repeat(1e6)}${"]".repeat(1e6)}}`
    expect(await run(body, json)).toMatchObject({ _tag: "ProviderUnusable" })
  })

  const segment = (text: string, isSilent = false) => ({
    text,
    no_speech_prob: isSilent ? 0.95 : 0.1,
    avg_logprob: -0.2,
  })
  test.each([
    [
      "Japanese",
      "こんにちは。ご視聴ありがとう。元気です。",
      [segment("こんにちは。"), segment("ご視聴ありがとう。", true), segment("元気です。")],
      "こんにちは。元気です。",
    ],
    [
      "Japanese without a whole text",
      undefined,
      [segment("こんにちは。"), segment("ご", true), segment("元気です。")],
      "こんにちは。元気です。",
    ],
    ["English", "One. Bye. Two.", [segment(" One."), segment(" Bye.", true), segment(" Two.")], "One. Two."],
    ["trimmed English", undefined, [segment("One."), segment("Bye.", true), segment("Two.")], "One. Two."],
    [
      "a whole text of another kind",
      "one bye two",
      [segment(" One."), segment(" Bye.", true), segment(" Two.")],
      "One. Two.",
    ],
    ["a segment without its numbers", "One. Bye.", [{ text: "One." }, segment("Bye.", true)], "One."],
  ])("keeps the provider's own spaces around a silent segment: %s", async (_, text, segments, expected) => {
    expect(await run(JSON.stringify({ text, segments }), json)).toBe(expected)
  })
})
