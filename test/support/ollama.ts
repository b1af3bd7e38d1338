/** A server that speaks Ollama's wire format: its list of models, and its OpenAI-compatible chat. */
import { Schema } from "effect"

const Chat = Schema.Struct({
  model: Schema.String,
  messages: Schema.Array(Schema.Struct({ role: Schema.String, content: Schema.String })),
  tools: Schema.optional(Schema.Array(Schema.Unknown)),
})
type Chat = typeof Chat.Type

export interface Ollama {
  readonly url: string
  /** The answer to GET /api/tags. Never-ending if it never resolves. */
  tags: () => Response | Promise<Response>
  /** The chunks of text of the next replies. */
  reply: ReadonlyArray<string>
  /** The calls behind the text: the names of tools. Each is one piece with the index 0, as Ollama sent them for long. */
  calls: ReadonlyArray<string>
  /** True: a reply breaks off after its chunks. */
  breaksOff: boolean
  readonly chats: ReadonlyArray<Chat>
  readonly searches: () => number
  readonly stop: () => Promise<void>
}

/** A list of these models. */
export const listOf = (...names: ReadonlyArray<string>) =>
  Response.json({ models: names.map((name) => ({ name, model: name, size: 2e9, details: { family: "" } })) })

export const startOllama = (): Ollama => {
  const chats: Array<Chat> = []
  let searches = 0
  const event = (data: object) => `data: ${JSON.stringify(data)}\n\n`
  const chunk = (content: string, finish_reason: string | null = null) =>
    event({ object: "chat.completion.chunk", choices: [{ index: 0, delta: { content }, finish_reason }] })
  const call = (name: string, n: number) => {
    const piece = { index: 0, id: `call_${n}`, type: "function", function: { name, arguments: "{}" } }
    return event({
      choices: [{ index: 0, delta: { content: "", tool_calls: [piece] }, finish_reason: null }],
    })
  }
  const stream = () =>
    new ReadableStream({
      start: async (controller) => {
        for (const text of ollama.reply) controller.enqueue(chunk(text))
        if (ollama.breaksOff) {
          await Bun.sleep(20)
          return controller.error()
        }
        for (const [n, name] of ollama.calls.entries()) controller.enqueue(call(name, n))
        controller.enqueue(chunk("", ollama.calls.length > 0 ? "tool_calls" : "stop"))
        controller.enqueue("data: [DONE]\n\n")
        controller.close()
      },
    })
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    routes: {
      "/api/tags": () => {
        searches += 1
        return ollama.tags()
      },
      "/v1/chat/completions": {
        POST: async (request) => {
          chats.push(Schema.decodeUnknownSync(Chat)(await request.json()))
          return new Response(stream(), { headers: { "content-type": "text/event-stream" } })
        },
      },
    },
    error: () => new Response("error", { status: 500 }),
  })
  const ollama: Ollama = {
    url: `http://127.0.0.1:${server.port}`,
    tags: () => listOf("llama3.2:3b"),
    reply: ["The capital ", "is Paris."],
    calls: [],
    breaksOff: false,
    chats,
    searches: () => searches,
    stop: () => server.stop(true),
  }
  return ollama
}
