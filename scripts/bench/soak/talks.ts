/** The visits over Realtime. */
import { eventsOf, question } from "../realtime/sound.ts"
import type { Account } from "./account.ts"
import { questionOf, slowMark } from "./faults.ts"
import { openAgentSession, type Place, type Scenario } from "./scenario.ts"
import { connectTalk, type Seen, type Talk } from "./socket.ts"
import { clientTool, served } from "./tools.ts"

const pieceMs = 100
const rate = 24_000

/** A second of speech, whose length is the mark of no fault. */
const loadSound = async () => {
  const words = await question()
  const silence = new Int16Array(rate)
  return {
    second: eventsOf(words.subarray(0, rate), pieceMs),
    utterance: [...eventsOf(words, pieceMs), ...eventsOf(silence, pieceMs)],
  }
}
let sound: ReturnType<typeof loadSound> | undefined

const done = "response.done"
const delta = "response.output_audio.delta"

const say = (text: string) => ({
  type: "conversation.item.create",
  item: { type: "message", role: "user", content: [{ type: "input_text", text }] },
})
const respond = { type: "response.create" }

/** `language`: the mark of what is said. */
const configure = (language: string, isListening: boolean) => ({
  type: "session.update",
  session: {
    type: "realtime",
    audio: {
      input: {
        turn_detection: isListening ? { type: "server_vad" } : null,
        transcription: { model: "whisper-1", language },
      },
    },
  },
})

const connect = async (place: Place, account: Account) =>
  connectTalk(place.api, account.key, await openAgentSession(place, account))

/** The status of the newest response, and the call of the client's tool that it ends with. */
const endOf = (seen: Seen) => {
  const text = seen.last(done)
  return {
    status: /"status":"(\w+)","status_details"/.exec(text)?.[1] ?? "without a status",
    callId: /"type":"function_call"[^}]*"call_id":"([^"]+)"/.exec(text)?.[1],
  }
}

/** Waits for the end of response number `count`. */
const responded = async (talk: Talk, count: number) =>
  endOf(await talk.until(`response ${count}`, (seen) => seen.count(done) >= count))

/** Ends the connection also after a failure, which is a result, also one to connect. */
const talking = (use: (talk: Talk, visit: Parameters<Scenario>[2]) => ReturnType<Scenario>): Scenario => {
  return async (place, account, visit) => {
    let talk: Talk | undefined
    try {
      talk = await connect(place, account)
      return await use(talk, visit)
    } catch (error) {
      return { ends: ["failed"], wrong: [`${error instanceof Error ? error.message : error}`] }
    } finally {
      await talk?.leave(visit.when < 0.5 ? "close" : "reset")
    }
  }
}

/** A text, speech, a tool of the service and one of the client, whose result begins another response. */
export const conversation = talking(async (talk, { when }) => {
  sound ??= loadSound()
  const { second } = await sound
  const statuses: Array<string> = []
  talk.send(configure("en", false), say(questionOf(0)), respond)
  statuses.push((await responded(talk, 1)).status)
  talk.send(...second.map((event) => JSON.parse(event)), { type: "input_audio_buffer.commit" }, respond)
  statuses.push((await responded(talk, 2)).status)
  talk.send(say(questionOf(0, served[Math.floor(when * served.length)])), respond)
  statuses.push((await responded(talk, 3)).status)
  talk.send(say(questionOf(0, clientTool)), respond)
  const { status, callId } = await responded(talk, 4)
  statuses.push(status)
  if (callId === undefined) return { ends: statuses, wrong: ["no call of the client's tool"] }
  talk.send({
    type: "conversation.item.create",
    item: { type: "function_call_output", call_id: callId, output: '{"isOpen":true}' },
  })
  talk.send(respond)
  statuses.push((await responded(talk, 5)).status)
  return { ends: statuses, wrong: statuses.filter((status) => status !== "completed") }
})

/** Disconnects while the reply is sent. */
export const leavesReply = talking(async (talk, { when }) => {
  talk.send(configure("en", false), say(questionOf(slowMark)), respond)
  const seen = await talk.until("a reply", (seen) => seen.count(delta) > when * 10 || seen.count(done) > 0)
  if (seen.count(done) === 0) return { ends: ["left"], wrong: [] }
  const { status } = endOf(seen)
  return { ends: [status], wrong: status === "completed" ? [] : [status] }
})

/** Speaks into the reply, and tells how much of it was heard, as a client with a player does. */
export const interrupts = talking(async (talk) => {
  sound ??= loadSound()
  const utterance = (await sound).utterance.map((event) => JSON.parse(event))
  talk.send(configure("de", true), ...utterance)
  const replying = await talk.until("a reply", (seen) => seen.count(delta) > 0)
  const item = /"item_id":"([^"]+)"/.exec(replying.last(delta))?.[1]
  talk.send(...utterance)
  await talk.until("the interruption", (seen) => seen.count("input_audio_buffer.speech_started") > 1)
  talk.send({ type: "conversation.item.truncate", item_id: item, content_index: 0, audio_end_ms: 50 })
  const { status: first } = await responded(talk, 1)
  const { status: second } = await responded(talk, 2)
  await talk.until("the truncation", (seen) => seen.count("conversation.item.truncated") > 0)
  const wrong = [first, second].filter((status) => status !== "completed" && status !== "cancelled")
  return { ends: [first, second], wrong }
})
