/** The conversation of `@openai/agents-realtime`: a session with a tool, its own interruptions and its own history. */
import { OpenAIRealtimeWebSocket, RealtimeAgent, RealtimeSession, tool } from "@openai/agents-realtime"
import { z } from "zod"
import { finish, makeRecorder, pieces, type Seen, utterance, variable } from "./recorder.ts"

interface StockEvent extends Seen {
  readonly [field: string]: unknown
}

const calls: Array<string> = []
const weather = tool({
  name: "weather",
  description: "The weather of a city.",
  parameters: z.object({ city: z.string() }),
  execute: async ({ city }) => {
    calls.push(city)
    return "sunny"
  },
})

/** Reports every event that the client takes for one that it does not know. */
class Transport extends OpenAIRealtimeWebSocket {
  readonly dropped: Array<string> = []
  #last: string | undefined

  override emit: OpenAIRealtimeWebSocket["emit"] = (type, ...rest) => {
    if (type === "*") {
      this.flush()
      const [event] = rest
      this.#last =
        typeof event === "object" && event !== null && "type" in event ? `${event.type}` : undefined
    } else if (type === this.#last) this.#last = undefined
    return super.emit(type, ...rest)
  }

  flush() {
    if (this.#last !== undefined) this.dropped.push(this.#last)
    this.#last = undefined
  }
}

const transport = new Transport({ url: variable("URL"), useInsecureApiKey: true })
const agent = new RealtimeAgent({ name: "Assistant", instructions: "Be brief.", tools: [weather] })
const session = new RealtimeSession(agent, { transport })

const recorder = makeRecorder<StockEvent>()
const { next, mark, events } = recorder
const errors: Array<unknown> = []
let interruptions = 0
let audioBytes = 0
session.on("transport_event", (event) => recorder.add({ ...event, type: event.type }))
session.on("error", (error) => errors.push(error))
session.on("audio_interrupted", () => {
  interruptions += 1
})
session.on("audio", ({ data }) => {
  audioBytes += data.byteLength
})
process.on("uncaughtException", (error) => errors.push(`${error}`))

const speak = () => {
  for (const piece of pieces(utterance)) session.sendAudio(Uint8Array.from(piece).buffer)
}

const converse = async () => {
  await session.connect({ apiKey: variable("KEY") })
  // The client updates the session when it connects, and again for tracing.
  await next(0, "session.updated", 2)

  let from = mark()
  speak()
  await next(from, "response.done")

  from = mark()
  session.sendMessage("What is the weather in Paris?")
  // The call, and the reply to its output.
  await next(from, "response.done", 2)

  from = mark()
  session.sendMessage("What time is it?")
  // The service runs this call: the client asks for no further response.
  await next(from, "response.done")
  await new Promise((resolve) => setTimeout(resolve, 500))

  from = mark()
  session.sendMessage("Tell me a story.")
  await next(from, "response.output_audio.delta", 3)
  await new Promise((resolve) => setTimeout(resolve, 2000))
  speak()
  await next(from, "conversation.item.truncated")
  await next(from, "response.done", 2)

  from = mark()
  session.sendMessage("Tell me a story.")
  await next(from, "response.output_audio.delta", 2)
  await new Promise((resolve) => setTimeout(resolve, 2000))
  session.interrupt()
  await next(from, "conversation.item.truncated")
  await next(from, "response.done")
  await next(from, "conversation.item.retrieved")

  from = mark()
  session.sendMessage("Are you there?")
  await next(from, "response.done")
  // Whatever the last message still brings.
  await new Promise((resolve) => setTimeout(resolve, 200))

  const history = session.history.map((item) =>
    item.type === "message"
      ? { role: item.role, ...("status" in item ? { status: item.status } : {}), content: item.content }
      : { type: item.type, ...("output" in item ? { output: item.output } : {}) },
  )

  from = mark()
  session.updateHistory((items) => items.slice(0, 2))
  await next(from, "conversation.item.deleted", history.length - 2)

  session.close()
  transport.flush()
  finish({
    errors,
    dropped: transport.dropped,
    calls,
    interruptions,
    audioBytes,
    history,
    kept: session.history.filter(({ type }) => type === "message").length,
    types: events.map(({ type }) => type),
  })
}

converse().catch((error) => {
  console.error(error, errors, transport.dropped)
  process.exit(1)
})
