import { describe, expect, test } from "bun:test"
import { Either, FastCheck } from "effect"
import { readClientEvent } from "../../../src/realtime/protocol/client-events.ts"

const read = (value: unknown) => readClientEvent(JSON.stringify(value))
const update = (session: unknown) => read({ type: "session.update", event_id: "e1", session })
const create = (item: unknown, more: object = {}) =>
  read({ type: "conversation.item.create", event_id: "e1", item, ...more })
const respond = (response: unknown) => read({ type: "response.create", event_id: "e1", response })
const message = (role: string, ...content: ReadonlyArray<unknown>) => ({ type: "message", role, content })
const vad = (turn_detection: unknown) => ({ audio: { input: { turn_detection } } })
const fn = (more: object = {}) => ({ type: "function", name: "weather", ...more })

const refused = (result: unknown, code: string | null, param: string | null, text?: string) => {
  expect(result).toMatchObject({ left: { type: "invalid_request_error", code, param } })
  if (text !== undefined) expect(result).toMatchObject({ left: { message: expect.stringContaining(text) } })
}

test.each([
  { type: "session.update", session: {} },
  { type: "session.update", session: { type: "realtime", model: "gpt-realtime" } },
  { type: "input_audio_buffer.append", audio: "AAAA" },
  { type: "input_audio_buffer.commit" },
  { type: "input_audio_buffer.clear" },
  { type: "conversation.item.create", item: message("user", { type: "input_text", text: "Hi" }) },
  { type: "conversation.item.retrieve", item_id: "i" },
  { type: "conversation.item.truncate", item_id: "i", content_index: 0, audio_end_ms: 0 },
  { type: "conversation.item.delete", item_id: "i" },
  { type: "response.create" },
  { type: "response.create", response: {} },
  { type: "response.cancel" },
  { type: "response.cancel", response_id: "r" },
])("reads %p", (event) => {
  expect(read({ ...event, event_id: "e1" })).toMatchObject({ right: { ...event, event_id: "e1" } })
  expect(read(event)).toMatchObject({ right: event })
})

describe("messages that are no event", () => {
  test.each(["", "{", "nonsense", "undefined", '{"type":"response.create"', "\0"])(
    "%p is bad JSON",
    (text) => {
      refused(readClientEvent(text), "invalid_json", null)
    },
  )

  test.each(["null", "3", '"response.create"', "[]", "[{}]"])("%p is no object", (text) => {
    refused(readClientEvent(text), "invalid_json", null, "not a JSON object")
  })

  test("deep nesting is refused without a stack overflow", () => {
    const deep = `${'{"a":'.repeat(70)}1${"}".repeat(70)}`
    refused(readClientEvent(`{"type":"session.update","session":${deep}}`), "invalid_json", null, "nested")
    expect(Either.isLeft(readClientEvent("[".repeat(500_000)))).toBe(true)
  })

  const ones = (count: number) => `${"1,".repeat(count - 1)}1`

  test.each([
    ["tools", `{"type":"session.update","event_id":"e1","session":{"tools":[${ones(60_000)}]}}`],
    ["an unknown field", `{"type":"response.cancel","x":[${ones(1_000_000)}],"event_id":"e1"}`],
    ["objects", `{"type":"response.cancel","event_id":"e1","x":[${"{},".repeat(60_000)}{}]}`],
    ["names", `{"type":"x","event_id":"e1",${Array.from({ length: 60_000 }, (_, at) => `"k${at}":1`)}}`],
    ["what is no JSON", `{"event_id":"e1",${",".repeat(60_000)}`],
  ])("%s with too many values", (_, text) => {
    const result = readClientEvent(text)
    refused(result, "array_above_max_length", null, "50000")
    expect(result).toMatchObject({ left: { eventId: "e1" } })
  })

  const long = "x".repeat(2_200_000)
  test.each([
    ["a text", { ...message("user", { type: "input_text", text: long }) }],
    ["a transcript beside audio", message("user", { type: "input_audio", audio: "AAAA", transcript: long })],
    ["a name", { ...message("user"), [long]: 1 }],
    ["an id", { id: long }],
  ])("%s that is too long", (_, item) => {
    const result = create(item)
    refused(result, "string_above_max_length", null, "2097152")
    expect(result).toMatchObject({ left: { eventId: "e1" } })
  })

  test("audio where no audio is taken counts as text", () => {
    refused(update({ tools: [fn({ parameters: { audio: long } })] }), "string_above_max_length", null)
    const input = [message("user", { type: "input_audio", audio: long })]
    refused(respond({ input }), "string_above_max_length", null)
    refused(read({ type: "response.cancel", audio: long }), "string_above_max_length", null)
  })

  test("what is within the bounds is read", () => {
    const tools = Array.from({ length: 128 }, (_, at) =>
      fn({ name: `f${at}`, parameters: { type: "object", enum: Array(150).fill('\\"x') } }),
    )
    expect(update({ tools })).toMatchObject({ right: { type: "session.update" } })
    const input = Array(1000).fill(message("user", { type: "input_text", text: "Hi" }))
    expect(respond({ input })).toMatchObject({ right: { type: "response.create" } })
  })

  test("audio of any size is taken: the socket limits the message", () => {
    const audio = "A".repeat(24 * 1024 * 1024)
    expect(Either.isRight(read({ type: "input_audio_buffer.append", audio }))).toBe(true)
  })

  test("types", () => {
    refused(read({ type: "foo", event_id: "e1" }), "invalid_event", "type", "'conversation.item.create'")
    refused(read({ type: "toString" }), "invalid_event", "type")
    refused(read({ type: "response.done" }), "invalid_event", "type")
    refused(read({}), "missing_required_parameter", "type", "Missing required parameter: 'type'.")
    refused(read({ type: 3 }), "invalid_type", "type")
    refused(read({ type: null }), "invalid_type", "type")
    refused(read({ type: "output_audio_buffer.clear" }), "invalid_event", "type", "WebRTC")
    refused(read({ type: "transcription_session.update" }), "beta_api_shape_disabled", "type")
  })

  test.each([
    '{"type":"session.update","session":{"__proto__":{"tools":[]}}}',
    '{"type":"response.create","response":{"metadata":{"__proto__":"x"}}}',
    '{"type":"response.create","__proto__":{}}',
    '{"type":"session.update","session":{"\\u005f_proto__":1}}',
  ])("%p changes no prototype", (text) => {
    refused(readClientEvent(text), "unknown_parameter", "__proto__")
  })

  test("a type that has no string is refused", () => {
    const type = { toString: null, valueOf: null }
    expect(read({ type, event_id: "e1" })).toMatchObject({ left: { code: "invalid_type", eventId: "e1" } })
    expect(create({ type })).toMatchObject({ left: { code: "invalid_type" } })
    expect(create({ ...message("user"), role: type })).toMatchObject({ left: { code: "invalid_type" } })
    expect(update(vad({ type }))).toMatchObject({
      left: { param: "session.audio.input.turn_detection.type" },
    })
  })

  test.each(["constructor", "toString", "hasOwnProperty"])("%p is an unknown parameter", (field) => {
    refused(update({ [field]: {} }), "unknown_parameter", `session.${field}`)
  })
})

test("the error has the event's id", () => {
  expect(read({ type: "foo", event_id: "agents_js_response_create_1" })).toMatchObject({
    left: { eventId: "agents_js_response_create_1" },
  })
  expect(respond({ foo: 1 })).toMatchObject({ left: { eventId: "e1" } })
  expect(update({ tools: 1 })).toMatchObject({ left: { eventId: "e1" } })
  expect(create({ type: "mcp_call" })).toMatchObject({ left: { eventId: "e1" } })
  expect(read({ type: "response.create", event_id: 3 })).toMatchObject({
    left: { eventId: null, param: "event_id" },
  })
})

describe("session.update", () => {
  test("takes what stock clients send", () => {
    for (const session of [
      { type: "realtime", tracing: "auto" },
      { type: "realtime", tracing: null },
      { tracing: { workflow_name: "w", group_id: "g", metadata: { a: 1 } } },
      { audio: { input: { noise_reduction: null, transcription: { model: "gpt-4o-mini-transcribe" } } } },
      { audio: { input: { noise_reduction: { type: "near_field", strength: 0.5 } } } },
      { audio: { output: { voice: "marin", speed: 1 } } },
      { audio: { output: { voice: { id: "voice_1" } } } },
      {
        include: ["item.input_audio_transcription.logprobs"],
        prompt: { id: "p", version: "1", variables: {} },
      },
      { parallel_tool_calls: true, reasoning: { effort: "low" }, max_output_tokens: "inf" },
      { truncation: { type: "retention_ratio", retention_ratio: 0.8 } },
      { tools: [fn({ description: "d", parameters: { type: "object", properties: {} } })] },
      { tool_choice: "weather" },
      { tool_choice: { type: "function", name: "weather" } },
      vad({ type: "semantic_vad" }),
      vad(null),
      vad({ threshold: 0.7 }),
      { audio: { input: { format: { type: "audio/pcmu" } }, output: { format: { type: "audio/pcm" } } } },
    ]) {
      expect(update(session)).toMatchObject({ right: { session } })
    }
  })

  test("unknown parameters", () => {
    refused(update({ foo: 1 }), "unknown_parameter", "session.foo", "Unknown parameter: 'session.foo'.")
    refused(update(vad({ foo: 1 })), "unknown_parameter", "session.audio.input.turn_detection.foo")
    refused(update({ tools: [fn(), fn({ meta: 1 })] }), "unknown_parameter", "session.tools[1].meta")
    refused(update({ tracing: { foo: 1 } }), "unknown_parameter", "session.tracing.foo")
    refused(read({ type: "response.cancel", foo: 1 }), "unknown_parameter", "foo")
  })

  test("wrong types", () => {
    const path = "session.audio.input.turn_detection.create_response"
    const text = `Invalid type for '${path}': expected boolean, got null`
    refused(update(vad({ create_response: null })), "invalid_type", path, text)
    refused(
      update({ instructions: null }),
      "invalid_type",
      "session.instructions",
      "expected string, got null",
    )
    refused(update({ instructions: ["a"] }), "invalid_type", "session.instructions", "got array")
    refused(update({ tools: {} }), "invalid_type", "session.tools", "expected array, got object")
    refused(update({ audio: [] }), "invalid_type", "session.audio")
    refused(update({ max_output_tokens: 1.5 }), "invalid_type", "session.max_output_tokens")
    refused(update(3), "invalid_type", "session", "expected object, got integer")
    refused(update([]), "invalid_type", "session", "expected object, got array")
    refused(update(null), "invalid_type", "session", "expected object, got null")
    refused(read({ type: "session.update" }), "missing_required_parameter", "session")
  })

  test("values and ranges", () => {
    refused(update({ type: "foo" }), "invalid_value", "session.type", "'realtime', 'transcription'")
    const path = "session.audio.input.turn_detection"
    refused(update(vad({ type: "foo" })), "invalid_value", `${path}.type`, "'server_vad', 'semantic_vad'")
    refused(update(vad({ eagerness: "max" })), "invalid_value", `${path}.eagerness`)
    refused(update(vad({ threshold: 1.1 })), "decimal_above_max_value", `${path}.threshold`, "<= 1")
    refused(update(vad({ threshold: -0.1 })), "decimal_below_min_value", `${path}.threshold`)
    refused(
      update(vad({ silence_duration_ms: -1 })),
      "integer_below_min_value",
      `${path}.silence_duration_ms`,
    )
    refused(
      update({ audio: { output: { speed: 2 } } }),
      "decimal_above_max_value",
      "session.audio.output.speed",
    )
    refused(update({ max_output_tokens: 4_097 }), "integer_above_max_value", "session.max_output_tokens")
    refused(update({ max_output_tokens: 0 }), "integer_below_min_value", "session.max_output_tokens")
    refused(update({ truncation: "none" }), "invalid_value", "session.truncation")
  })

  test.each([[["audio", "text"]], [["text", "audio"]], [[]], [["text", "text"]]])("modalities %p", (list) => {
    refused(update({ output_modalities: list }), "invalid_value", "session.output_modalities")
    refused(respond({ output_modalities: list }), "invalid_value", "response.output_modalities")
  })

  test("string lengths", () => {
    refused(
      update({ tools: [fn({ description: "x".repeat(2_473) })] }),
      "string_above_max_length",
      "session.tools[0].description",
      "Expected a string with maximum length 1024, but got a string with length 2473 instead.",
    )
    refused(
      update({ tools: [fn({ name: "x".repeat(65) })] }),
      "string_above_max_length",
      "session.tools[0].name",
    )
    refused(update({ tools: [fn({ name: "a b" })] }), "invalid_value", "session.tools[0].name")
    refused(update({ instructions: "x".repeat(262_145) }), "string_above_max_length", "session.instructions")
    refused(update({ tools: Array(129).fill(fn()) }), "array_above_max_length", "session.tools")
  })

  test.each([
    [{ modalities: ["text"] }, "session.modalities", "output_modalities"],
    [{ voice: "alloy" }, "session.voice", "audio.output.voice"],
    [{ input_audio_format: "pcm16" }, "session.input_audio_format", "audio.input.format"],
    [{ turn_detection: null }, "session.turn_detection", "audio.input.turn_detection"],
    [{ temperature: 0.8 }, "session.temperature", "operator"],
    [{ audio: { input: { format: "pcm16" } } }, "session.audio.input.format", "audio/pcm"],
    [{ audio: { output: { format: "g711_ulaw" } } }, "session.audio.output.format", "audio/pcm"],
    [{ tools: [{ type: "function", function: { name: "a" } }] }, "session.tools[0].function", "beside"],
  ])("the Beta API's %p", (session, param, help) => {
    refused(update(session), "beta_api_shape_disabled", param, help)
  })

  test("MCP is not supported", () => {
    refused(
      update({ tools: [{ type: "mcp", server_label: "a" }] }),
      "unsupported_tool_type",
      "session.tools[0].type",
    )
    refused(
      respond({ tool_choice: { type: "mcp", server_label: "a" } }),
      "unsupported_tool_type",
      "response.tool_choice.type",
    )
  })
})

describe("conversation.item.create", () => {
  test.each([
    message("system", { type: "input_text", text: "Be brief." }),
    message("user", { type: "input_text", text: "a" }, { type: "input_audio", audio: "AAAA" }),
    message("user", { type: "input_audio", transcript: "Hello" }),
    message("user", { type: "input_audio", audio: null, transcript: null }),
    message("assistant", { type: "output_text", text: "a" }),
    message("assistant", { type: "output_audio", transcript: "a" }),
    message("assistant", { type: "output_audio", transcript: "a", audio: null }),
    message("assistant"),
    { type: "function_call", name: "weather", arguments: "{}", call_id: "call_1" },
    { type: "function_call", name: "weather", arguments: "{}" },
    { type: "function_call_output", call_id: "call_1", output: "" },
  ])("takes %p", (item) => {
    const whole = { ...item, id: "item-1/~", object: "realtime.item", status: "completed" }
    expect(create(whole, { previous_item_id: "root" })).toMatchObject({ right: { item: whole } })
    expect(create(item, { previous_item_id: null })).toMatchObject({ right: { item } })
  })

  test("root is no id: it stands for the start", () => {
    const reserved = create({ ...message("user", { type: "input_text", text: "Hi" }), id: "root" })
    refused(reserved, "invalid_value", "item.id", "start of the conversation")
    const call = create({ type: "function_call", id: "root", name: "f", arguments: "{}" })
    refused(call, "invalid_value", "item.id")
    refused(
      respond({ input: [{ type: "item_reference", id: "root" }] }),
      "invalid_value",
      "response.input[0].id",
    )
    const other = create({ ...message("user"), id: "Root" }, { previous_item_id: "root" })
    expect(Either.isRight(other)).toBe(true)
  })

  test("ids have 1 to 64 visible ASCII characters", () => {
    const item = (id: string) => create({ ...message("user"), id })
    expect(Either.isRight(item("~".repeat(64)))).toBe(true)
    refused(item("a".repeat(65)), "string_above_max_length", "item.id")
    for (const id of ["", " ", "a b", "ä", "a\n", "\u0000"]) refused(item(id), "invalid_value", "item.id")
  })

  test("calls have an id of letters, digits, _ and -", () => {
    refused(
      create({ type: "function_call_output", call_id: "a/b", output: "" }),
      "invalid_value",
      "item.call_id",
    )
    refused(
      create({ type: "function_call_output", output: "" }),
      "missing_required_parameter",
      "item.call_id",
    )
    refused(create({ type: "function_call", name: "a", arguments: {} }), "invalid_type", "item.arguments")
  })

  test("wrong items", () => {
    refused(create({}), "missing_required_parameter", "item.type")
    refused(create({ type: "foo" }), "invalid_value", "item.type", "'function_call_output'")
    refused(create({ type: "item_reference", id: "a" }), "invalid_value", "item.type")
    refused(create(message("bot")), "invalid_value", "item.role", "'system'")
    refused(create({ type: "message", role: "user" }), "missing_required_parameter", "item.content")
    refused(create({ type: "message", content: [] }), "missing_required_parameter", "item.role")
    refused(
      create(message("user", { type: "input_text" })),
      "missing_required_parameter",
      "item.content[0].text",
    )
    refused(
      create(message("user", { type: "output_text", text: "" })),
      "invalid_value",
      "item.content[0].type",
    )
    refused(create(message("system", { type: "input_audio" })), "invalid_value", "item.content[0].type")
    refused(
      create(message("user", { type: "input_text", text: null })),
      "invalid_type",
      "item.content[0].text",
    )
    refused(create({ ...message("user"), status: "cancelled" }), "invalid_value", "item.status")
    refused(create({ ...message("user"), foo: 1 }), "unknown_parameter", "item.foo")
    refused(create(undefined), "missing_required_parameter", "item")
  })

  test("what is not supported says so", () => {
    const image = { type: "input_image", image_url: "data:image/png;base64,AAAA" }
    refused(create(message("user", image)), "unsupported_content_type", "item.content[0].type", "Images")
    refused(create({ type: "mcp_approval_response" }), "unsupported_item_type", "item.type", "MCP")
    const audio = { type: "output_audio", audio: "AAAA" }
    refused(create(message("assistant", audio)), "unsupported_content_type", "item.content[0].audio")
    refused(
      create(message("assistant", { type: "text", text: "" })),
      "beta_api_shape_disabled",
      "item.content[0].type",
      "output_text",
    )
  })
})

describe("response.create", () => {
  test("takes every parameter", () => {
    const response = {
      instructions: "Say hello.",
      output_modalities: ["text"],
      audio: { output: { format: { type: "audio/pcma" }, voice: "alloy" } },
      tools: [fn()],
      tool_choice: "required",
      max_output_tokens: 100,
      metadata: { client_event_id: "x" },
      prompt: null,
      conversation: "none",
      input: [{ type: "item_reference", id: "a" }, message("user", { type: "input_text", text: "a" })],
      parallel_tool_calls: false,
      reasoning: { effort: "low" },
    }
    expect(respond(response)).toMatchObject({ right: { response } })
  })

  test("metadata", () => {
    const pairs = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, n) => [`k${n}`, "v"]))
    expect(Either.isRight(respond({ metadata: pairs(16) }))).toBe(true)
    expect(Either.isRight(respond({ metadata: { ["k".repeat(64)]: "v".repeat(512) } }))).toBe(true)
    refused(respond({ metadata: pairs(17) }), "invalid_value", "response.metadata", "16 pairs")
    refused(respond({ metadata: { ["k".repeat(65)]: "v" } }), "invalid_value", "response.metadata")
    refused(respond({ metadata: { k: "v".repeat(513) } }), "string_above_max_length", "response.metadata.k")
    refused(respond({ metadata: { k: 1 } }), "invalid_type", "response.metadata.k")
  })

  test("wrong parameters", () => {
    refused(respond({ conversation: "foo" }), "invalid_value", "response.conversation")
    refused(respond({ foo: 1 }), "unknown_parameter", "response.foo")
    refused(respond({ modalities: ["text"] }), "beta_api_shape_disabled", "response.modalities")
    refused(respond({ voice: "a" }), "beta_api_shape_disabled", "response.voice", "audio.output.voice")
    refused(
      respond({ input: [message("user", { type: "input_text" })] }),
      "missing_required_parameter",
      "response.input[0].content[0].text",
    )
    refused(
      respond({ input: [{ type: "foo" }] }),
      "invalid_value",
      "response.input[0].type",
      "'item_reference'",
    )
    refused(respond({ input: "text" }), "invalid_type", "response.input")
    refused(respond("text"), "invalid_type", "response", "expected object, got string")
  })
})

test("truncate takes whole milliseconds", () => {
  const truncate = (fields: object) =>
    read({ type: "conversation.item.truncate", item_id: "i", content_index: 0, audio_end_ms: 10, ...fields })
  refused(truncate({ audio_end_ms: 1.5 }), "invalid_type", "audio_end_ms", "expected integer")
  refused(truncate({ audio_end_ms: -1 }), "integer_below_min_value", "audio_end_ms")
  refused(truncate({ audio_end_ms: "10" }), "invalid_type", "audio_end_ms")
  refused(truncate({ content_index: null }), "invalid_type", "content_index")
})

/** An event with one value somewhere replaced by any JSON. */
const events = FastCheck.constantFrom(
  { type: "session.update", session: { ...vad({ threshold: 0.5 }), tools: [fn()], tool_choice: "auto" } },
  { type: "conversation.item.create", item: message("user", { type: "input_text", text: "a" }) },
  { type: "response.create", response: { metadata: { a: "b" }, input: [message("assistant")] } },
  { type: "conversation.item.truncate", item_id: "i", content_index: 0, audio_end_ms: 0 },
)

const replace = (value: unknown, at: number, by: unknown): unknown => {
  let left = at
  const walk = (each: unknown): unknown => {
    left -= 1
    if (left < 0) {
      left = Number.POSITIVE_INFINITY
      return by
    }
    if (Array.isArray(each)) return each.map(walk)
    if (typeof each !== "object" || each === null) return each
    return Object.fromEntries(Object.entries(each).map(([key, inner]) => [key, walk(inner)]))
  }
  return walk(value)
}

test("any event is read or refused with a code, a sentence and an existing path", () => {
  FastCheck.assert(
    FastCheck.property(
      events,
      FastCheck.integer({ min: 1, max: 12 }),
      FastCheck.jsonValue(),
      (event, at, by) => {
        const result = read({ ...Object.assign({}, replace(event, at, by)), event_id: "e9" })
        if (Either.isRight(result)) return
        const { code, message, param, eventId } = result.left
        expect(code).toMatch(/^[a-z_]+$/)
        expect(message).toMatch(/^[A-Z'].*\.?$/s)
        expect(message.length).toBeLessThan(600)
        expect(eventId).toBe("e9")
        if (param !== null) expect(message.includes(param) || code !== "unknown_parameter").toBe(true)
      },
    ),
    { numRuns: 2_000 },
  )
})

test("any text is refused or read, never thrown at", () => {
  FastCheck.assert(
    FastCheck.property(FastCheck.string({ unit: "binary" }), (text) => {
      expect(Either.isLeft(readClientEvent(text))).toBe(true)
    }),
  )
})
