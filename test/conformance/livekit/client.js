/**
 * The conversation of LiveKit's RealtimeModel, in Node. Its packages take 250 MB, so they have a lockfile of their own:
 * `bun install --frozen-lockfile` in this folder.
 */
import { readFileSync } from "node:fs"
import { initializeLogger, llm } from "@livekit/agents"
import { realtime } from "@livekit/agents-plugin-openai"
import { AudioFrame } from "@livekit/rtc-node"
import { z } from "zod"

// Warnings and errors go to the output, where the test finds them.
initializeLogger({ pretty: false, level: "warn" })

const { URL: baseURL, KEY: apiKey, UTTERANCE: utterance } = process.env
const audio = readFileSync(utterance)
const errors = []
const types = []
const results = {}
const waiting = new Set()

const model = new realtime.RealtimeModel({ baseURL, apiKey, model: "any-model" })
const session = model.session()
session.on("error", ({ error }) => errors.push(`${error}`))
session.on("openai_server_event_received", (event) => {
  types.push(event.type)
  if (event.type === "error") errors.push(event.error.message)
  for (const check of waiting) check(event)
})

/** The next event of a type. */
const next = (type, where = () => true) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${type}; there were ${types.join(", ")}`)), 20_000)
    const check = (event) => {
      if (event.type !== type || !where(event)) return
      clearTimeout(timer)
      waiting.delete(check)
      resolve(event)
    }
    waiting.add(check)
  })

const nextGeneration = () =>
  new Promise((resolve) => {
    session.once("generation_created", resolve)
  })

const speak = () => {
  for (let at = 0; at < audio.length; at += 4800) {
    const samples = new Int16Array(Uint8Array.from(audio.subarray(at, at + 4800)).buffer)
    session.pushAudio(new AudioFrame(samples, 24_000, 1, samples.length))
  }
}

const all = async (stream) => {
  const values = []
  for await (const value of stream) values.push(value)
  return values
}

/** What a generation brought: per message its text and the length of its audio in ms, and the calls. */
const collect = async ({ messageStream, functionStream }) => {
  const calls = all(functionStream)
  const messages = []
  for await (const message of messageStream) {
    const [text, frames] = await Promise.all([all(message.textStream), all(message.audioStream)])
    const samples = frames.reduce((sum, frame) => sum + frame.samplesPerChannel, 0)
    messages.push({ id: message.messageId, text: text.join(""), audioMs: samples / 24 })
  }
  return { messages, calls: (await calls).map(({ callId, name, args }) => ({ callId, name, args })) }
}

const converse = async () => {
  const weather = llm.tool({
    name: "weather",
    description: "The weather of a city.",
    parameters: z.object({ city: z.string() }),
    execute: async () => "sunny",
  })
  await session.updateInstructions("Be brief.")
  await session.updateTools(new llm.ToolContext([weather]))
  await next("session.updated")

  const spoken = nextGeneration()
  speak()
  results.voice = await collect(await spoken)

  let chat = session.chatCtx.copy()
  chat.addMessage({ role: "user", content: "What is the weather in Paris?" })
  await session.updateChatCtx(chat)
  const called = await collect(await session.generateReply())
  results.call = called
  chat = session.chatCtx.copy()
  chat.insert(
    new llm.FunctionCallOutput({
      callId: called.calls[0].callId,
      name: "weather",
      output: "sunny",
      isError: false,
    }),
  )
  await session.updateChatCtx(chat)
  results.told = await collect(await session.generateReply())

  chat = session.chatCtx.copy()
  chat.addMessage({ role: "user", content: "Tell me a story." })
  await session.updateChatCtx(chat)
  const story = await session.generateReply()
  const cut = collect(story)
  const { item_id } = await next("response.output_audio.delta")
  await new Promise((resolve) => setTimeout(resolve, 500))
  const answer = nextGeneration()
  speak()
  const done = await next("response.done")
  await session.truncate({ messageId: item_id, audioEndMs: 400 })
  await next("conversation.item.truncated")
  results.interruption = { reason: done.response.status_details?.reason, text: (await cut).messages.length }
  results.after = await collect(await answer)

  chat = session.chatCtx.copy()
  chat.addMessage({ role: "user", content: "Tell me a story." })
  await session.updateChatCtx(chat)
  const stopped = await session.generateReply()
  const stoppedText = collect(stopped)
  const { item_id: unheard } = await next("response.output_audio.delta")
  const ended = next("response.done")
  await session.interrupt()
  results.interrupt = (await ended).response.status_details?.reason
  await stoppedText
  // Of a reply that nobody heard, the client deletes the item.
  const deleted = next("conversation.item.deleted")
  await session.truncate({ messageId: unheard, audioEndMs: 0 })
  await deleted

  // Removes all but the first two messages.
  chat = session.chatCtx.copy()
  chat.items = chat.items.slice(0, 2)
  await session.updateChatCtx(chat)
  results.left = session.chatCtx.items.length

  results.history = (await collect(await session.generateReply("Say goodbye."))).messages.length
  await session.close()
}

const late = new Promise((_, reject) => {
  setTimeout(() => reject(new Error("the conversation did not end")), 40_000)
})

Promise.race([converse(), late]).then(
  () => {
    process.stdout.write(`${JSON.stringify({ results, errors, types })}\n`, () => process.exit(0))
  },
  (error) => {
    process.stderr.write(`${error.stack}\n${JSON.stringify({ results, errors, types: types.slice(-30) })}\n`)
    process.exit(1)
  },
)
