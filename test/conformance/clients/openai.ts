/** The conversation of `openai`'s own Realtime clients: `native` (the runtime's WebSocket) or `ws`. */
import OpenAI from "openai"
import { OpenAIRealtimeWebSocket } from "openai/realtime/websocket"
import { OpenAIRealtimeWS } from "openai/realtime/ws"
import type { RealtimeServerEvent } from "openai/resources/realtime/realtime"
import { finish, makeRecorder, pieces, utterance, variable } from "./recorder.ts"

const [kind = "ws"] = process.argv.slice(2)
const client = new OpenAI({ apiKey: variable("KEY"), baseURL: variable("URL") })

const connect = async (config: { model: string } | { intent: "transcription" }) => {
  const recorder = makeRecorder<RealtimeServerEvent>()
  const errors: Array<string> = []
  const socket =
    kind === "native" ? new OpenAIRealtimeWebSocket(config, client) : new OpenAIRealtimeWS(config, client)
  socket.on("event", recorder.add)
  socket.on("error", ({ message }) => errors.push(message))
  await recorder.next(0, "session.created")
  const speak = () => {
    for (const piece of pieces(utterance)) {
      socket.send({ type: "input_audio_buffer.append", audio: piece.toString("base64") })
    }
  }
  const say = (text: string) =>
    socket.send({
      type: "conversation.item.create",
      item: { type: "message", role: "user", content: [{ type: "input_text", text }] },
    })
  const close = () => {
    const closed = new Promise<void>((resolve) => {
      socket.socket.onclose = () => resolve()
    })
    socket.close()
    return closed
  }
  return { ...recorder, errors, send: socket.send.bind(socket), speak, say, close }
}

const transcript = ({ response }: { readonly response: { readonly output?: ReadonlyArray<unknown> } }) =>
  response.output

const converse = async () => {
  const { send, say, speak, mark, next, events, errors, close } = await connect({ model: "any-model" })
  const results: Record<string, unknown> = {}

  send({
    type: "session.update",
    session: {
      type: "realtime",
      instructions: "Be brief.",
      audio: { input: { transcription: { model: "whisper-1" }, turn_detection: { type: "server_vad" } } },
      tools: [
        {
          type: "function",
          name: "weather",
          description: "The weather of a city.",
          parameters: { type: "object", properties: { city: { type: "string" } } },
        },
      ],
    },
  })
  await next(0, "session.updated")

  let from = mark()
  speak()
  const heard = await next(from, "conversation.item.input_audio_transcription.completed")
  const spoken = await next(from, "response.done")
  results.voice = { heard: heard.transcript, status: spoken.response.status, said: transcript(spoken) }

  from = mark()
  say("What is the weather in Paris?")
  send({ type: "response.create" })
  const called = await next(from, "response.done")
  const call = called.response.output?.find((item) => item.type === "function_call")
  from = mark()
  send({
    type: "conversation.item.create",
    item: { type: "function_call_output", call_id: call?.call_id ?? "", output: '{"sky":"sunny"}' },
  })
  await next(from, "conversation.item.done")
  send({ type: "response.create" })
  const told = await next(from, "response.done")
  results.tool = { arguments: call?.arguments, status: told.response.status, said: transcript(told) }

  from = mark()
  say("Tell me a story.")
  send({ type: "response.create" })
  const delta = await next(from, "response.output_audio.delta", 3)
  await new Promise((resolve) => setTimeout(resolve, 300))
  speak()
  await next(from, "input_audio_buffer.speech_started")
  send({ type: "conversation.item.truncate", item_id: delta.item_id, content_index: 0, audio_end_ms: 200 })
  const cut = await next(from, "response.done")
  await next(from, "conversation.item.truncated")
  const after = await next(from, "response.done", 2)
  results.interruption = {
    status: cut.response.status,
    reason: cut.response.status_details?.reason,
    next: after.response.status,
  }

  from = mark()
  say("Tell me a story.")
  send({ type: "response.create" })
  await next(from, "response.output_audio_transcript.delta")
  send({ type: "response.cancel" })
  send({ type: "response.create", response: { output_modalities: ["text"], metadata: { for: "cancel" } } })
  const cancelled = await next(from, "response.done")
  const text = await next(from, "response.done", 2)
  results.cancel = {
    reason: cancelled.response.status_details?.reason,
    text: text.response.status,
    metadata: text.response.metadata,
  }

  from = mark()
  send({
    type: "response.create",
    response: {
      conversation: "none",
      output_modalities: ["text"],
      instructions: "Say what it is about.",
      input: [{ type: "message", role: "user", content: [{ type: "input_text", text: "Aside." }] }],
    },
  })
  const aside = await next(from, "response.done")
  results.aside = {
    conversation: aside.response.conversation_id,
    items: events.slice(from).filter(({ type }) => type.startsWith("conversation.item.")).length,
  }

  from = mark()
  send({ type: "session.update", session: { type: "realtime", audio: { input: { turn_detection: null } } } })
  await next(from, "session.updated")
  speak()
  send({ type: "input_audio_buffer.commit" })
  const committed = await next(from, "input_audio_buffer.committed")
  send({ type: "response.create" })
  const manual = await next(from, "response.done")
  send({ type: "conversation.item.retrieve", item_id: committed.item_id })
  const retrieved = await next(from, "conversation.item.retrieved")
  send({ type: "conversation.item.delete", item_id: committed.item_id })
  await next(from, "conversation.item.deleted")
  send({ type: "input_audio_buffer.clear" })
  await next(from, "input_audio_buffer.cleared")
  results.manual = { status: manual.response.status, item: retrieved.item }

  await close()
  return { results, errors, types: events.map(({ type }) => type) }
}

const transcribe = async () => {
  const { send, speak, mark, next, events, errors, close } = await connect({ intent: "transcription" })
  const from = mark()
  send({
    type: "session.update",
    session: { type: "transcription", audio: { input: { transcription: { model: "whisper-1" } } } },
  })
  await next(from, "session.updated")
  speak()
  const { transcript: text } = await next(from, "conversation.item.input_audio_transcription.completed")
  await close()
  return { text, errors, types: events.map(({ type }) => type) }
}

finish({ conversation: await converse(), transcription: await transcribe() })
