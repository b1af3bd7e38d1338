import { describe, expect, test } from "bun:test"
import { OpenAIRealtimeBase, type RealtimeClientMessage, type RealtimeItem } from "@openai/agents-realtime"
import { Either } from "effect"
import { readClientEvent } from "../../../src/realtime/protocol/client-events.ts"
import { encodeServerEvent, type ServerEvent } from "../../../src/realtime/protocol/server-events.ts"
import { items, serverEvents } from "../../support/realtime-events.ts"

type RealtimeTool = NonNullable<Parameters<OpenAIRealtimeBase["updateSessionConfig"]>[0]["tools"]>[number]

/** The stock client without a socket: what it makes of the server's messages, and what it would send. */
class StockClient extends OpenAIRealtimeBase {
  readonly sent: Array<RealtimeClientMessage> = []
  readonly status = "connected"
  readonly muted = null
  readonly connect = () => Promise.resolve()
  readonly sendEvent = (event: RealtimeClientMessage) => {
    this.sent.push(event)
  }
  readonly mute = () => {}
  readonly close = () => {}
  readonly interrupt = () => {}
  readonly receive = (text: string) => this._onMessage(new MessageEvent("message", { data: text }))
  get session() {
    return this._rawSessionConfig
  }
}

/** The stock client's schema lacks these events, so only its listeners of any event see them. */
const unknown: ReadonlyArray<ServerEvent["type"]> = [
  "input_audio_buffer.timeout_triggered",
  "response.mcp_call.failed",
]

const receive = (event: ServerEvent) => {
  const client = new StockClient()
  const history: Array<RealtimeItem> = []
  const calls: Array<unknown> = []
  let isUnderstood = false
  client.on(event.type, () => {
    isUnderstood = true
  })
  client.on("item_update", (item) => history.push(item))
  client.on("function_call", (call) => calls.push(call))
  client.receive(encodeServerEvent(event))
  return { client, history, calls, isUnderstood }
}

describe("the stock client understands", () => {
  test.each(serverEvents.map((event) => [event.type, JSON.stringify(event).slice(0, 120), event] as const))(
    "%s %s",
    (type, _, event) => {
      expect(receive(event).isUnderstood).toBe(!unknown.includes(type))
    },
  )
})

test("items reach its history", () => {
  const added = (item: (typeof items)["typed"] | ReturnType<(typeof items)["spoken"]>) =>
    receive({ type: "conversation.item.done", item, previous_item_id: "p1" }).history
  expect(added(items.typed)).toMatchObject([{ itemId: "u2", previousItemId: "p1", role: "user" }])
  expect(added(items.spoken("Hello"))).toMatchObject([{ content: [{ transcript: "Hello" }] }])
  expect(added(items.reply("completed", ["Hi"]))).toMatchObject([{ role: "assistant", status: "completed" }])
})

test("a tool runs for a completed call only", () => {
  const calls = (
    type: "response.output_item.added" | "response.output_item.done",
    item: ReturnType<typeof items.call>,
  ) => receive({ type, response_id: "r1", output_index: 0, item }).calls
  expect(calls("response.output_item.added", items.call("in_progress", ""))).toEqual([])
  expect(calls("response.output_item.done", items.call("incomplete", "{}"))).toEqual([])
  expect(calls("response.output_item.done", items.call("completed", "{}"))).toMatchObject([
    { callId: "call_1", name: "weather", arguments: "{}" },
  ])
})

test("the session shows interrupt_response", () => {
  const [event] = serverEvents.filter(({ type }) => type === "session.updated")
  if (event === undefined) throw new Error("no session.updated")
  expect(receive(event).client.session).toMatchObject({
    audio: { input: { turn_detection: { interrupt_response: true } }, output: { voice: "alloy" } },
  })
})

describe("every event", () => {
  const encoded = serverEvents.map((event): Record<string, unknown> => JSON.parse(encodeServerEvent(event)))

  test("has an id of its own", () => {
    const ids = encoded.map((event) => event.event_id)
    expect(new Set(ids).size).toBe(ids.length)
    for (const id of ids) expect(id).toMatch(/^event_[0-9a-f]{32}$/)
  })

  test("is the event that was given", () => {
    for (const [at, event] of serverEvents.entries()) {
      const { event_id: _, ...rest } = encoded[at] ?? {}
      expect(rest).toEqual({ ...event })
    }
  })
})

describe("what the stock client sends is read", () => {
  const tool: RealtimeTool = {
    type: "function",
    name: "weather",
    description: "The weather.",
    parameters: { type: "object", properties: {}, required: [], additionalProperties: false },
    strict: true,
  }
  const message: RealtimeItem = {
    itemId: "m1",
    type: "message",
    role: "user",
    status: "completed",
    content: [{ type: "input_text", text: "Hello" }],
  }
  const reply: RealtimeItem = {
    itemId: "m2",
    type: "message",
    role: "assistant",
    status: "completed",
    content: [{ type: "output_text", text: "Hi" }],
  }
  const spoken: RealtimeItem = {
    itemId: "m3",
    type: "message",
    role: "user",
    status: "completed",
    content: [{ type: "input_audio", transcript: "Hello" }],
  }

  test.each<readonly [string, (client: StockClient) => void]>([
    ["the default session", (client) => client.updateSessionConfig({})],
    ["instructions", (client) => client.updateSessionConfig({ instructions: "Be kind.", voice: "marin" })],
    ["tools", (client) => client.updateSessionConfig({ tools: [tool], toolChoice: "auto" })],
    ["tracing", (client) => client.updateSessionConfig({ tracing: { workflow_name: "w", group_id: "g" } })],
    ["text", (client) => client.updateSessionConfig({ outputModalities: ["text"] })],
    [
      "G.711",
      (client) => client.updateSessionConfig({ audio: { input: { format: { type: "audio/pcmu" } } } }),
    ],
    [
      "turn detection",
      (client) =>
        client.updateSessionConfig({
          audio: {
            input: { turnDetection: { type: "server_vad", silenceDurationMs: 400, idleTimeoutMs: 6_000 } },
          },
        }),
    ],
    [
      "no turn detection",
      (client) => client.updateSessionConfig({ audio: { input: { turnDetection: null } } }),
    ],
    ["a message", (client) => client.sendMessage("Hello", {})],
    ["audio", (client) => client.sendAudio(new ArrayBuffer(480), { commit: true })],
    ["a response", (client) => client.requestResponse({ instructions: "Say hello." })],
    [
      "a tool's output",
      (client) =>
        client.sendFunctionCallOutput(
          {
            type: "function_call",
            id: "f1",
            responseId: "r1",
            callId: "call_1",
            name: "weather",
            arguments: "{}",
          },
          "sunny",
        ),
    ],
    ["a new history", (client) => client.resetHistory([message], [reply, spoken])],
  ])("%s", (_, act) => {
    const client = new StockClient()
    act(client)
    expect(client.sent.length).toBeGreaterThan(0)
    for (const event of client.sent) {
      expect(readClientEvent(JSON.stringify(event)).pipe(Either.getLeft)).toMatchObject({ _tag: "None" })
    }
  })

  test("an image is refused plainly", () => {
    const client = new StockClient()
    client.addImage("data:image/png;base64,AAAA", { triggerResponse: false })
    expect(client.sent.map((event) => readClientEvent(JSON.stringify(event)))).toMatchObject([
      { left: { code: "unsupported_content_type", param: "item.content[0].type" } },
    ])
  })
})
