/**
 * The clients of the Realtime benchmark, as a process of their own. `bun scripts/bench/realtime/driver.ts PLAN` (JSON)
 * opens the sockets, prints `ready`, drives them in real time, and prints its report.
 */
import { Schema } from "effect"
import { percentile } from "../statistics.ts"
import { type Asked, Driven, type Interrupted, Plan } from "./plan.ts"
import { eventsOf, listenerPieceMs, question, silence, speakerPieceMs } from "./sound.ts"

const plan = Schema.decodeUnknownSync(Schema.parseJson(Plan))(process.argv[2])

const words = eventsOf(await question(), speakerPieceMs)
const quiet = eventsOf(silence(plan.sound), speakerPieceMs)
const quietForListeners = eventsOf(silence(plan.sound), listenerPieceMs)

/** Playing time of a byte of base64, in ms: 3 bytes are 4 characters, and a ms has 48 bytes. */
const msPerCharacter = 3 / 4 / 48

/** The longest pause of a speaker before a question, and how long it hears a reply before it interrupts, in ms. */
const [thinkMs, interruptAfterMs] = [1000, 500]

/** A reply that takes longer counts as none, in ms. */
const answerMs = 20_000

/** How long the questions of the runtime's warm-up go on, in ms. */
const warmMs = 8000

const asked: Array<typeof Asked.Type> = []
const interrupted: Array<typeof Interrupted.Type> = []
const failures: Record<string, number> = {}
const late: Array<number> = []
const fail = (what: string) => {
  failures[what] = (failures[what] ?? 0) + 1
}

/** Sockets that connect at a time. */
const connecting = 20

const connect = (onMessage: (text: string) => void) =>
  new Promise<WebSocket>((resolve, reject) => {
    const socket = new WebSocket(plan.url, { headers: { authorization: `Bearer ${plan.key}` } })
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") onMessage(data)
    }
    socket.onopen = () => resolve(socket)
    socket.onclose = ({ code, reason }) => {
      fail(`closed ${code} ${reason}`)
      reject(new Error(`closed with ${code} ${reason}`))
    }
  })

/** Sends one event every `pieceMs`, of which `next` gives the one that is due. */
interface Microphone {
  readonly socket: WebSocket
  readonly pieceMs: number
  dueAt: number
  readonly next: (dueAt: number) => string
}
const microphones: Array<Microphone> = []

const pump = () => {
  const now = performance.now()
  for (const microphone of microphones) {
    while (microphone.dueAt <= now) {
      late.push(now - microphone.dueAt)
      microphone.socket.send(microphone.next(microphone.dueAt))
      microphone.dueAt += microphone.pieceMs
    }
  }
}

/** The type of a server event, without parsing its audio. */
const typeOf = (text: string) => /"type":"([\w.]+)"/.exec(text)?.[1] ?? ""

/** The length of an audio delta, in ms. */
const audioMs = (text: string) => (text.length - text.indexOf('"delta":"') - 12) * msPerCharacter

let isWarm = false
let isOver = () => false

/** Asks, waits for the reply, hears it or interrupts it, and asks again. Answers its events at once. */
const speak = async () => {
  let left: ReadonlyArray<string> = []
  let silent = 0
  let state: "thinking" | "asking" | "waiting" | "hearing" | "interrupting" = "thinking"
  let askAt = performance.now() + Math.random() * thinkMs
  let spokeAt = 0
  let endedAt = 0
  let stoppedAt = 0
  let startedAt = 0
  let lastAudioAt = 0
  let heardMs = 0

  const begin = (dueAt: number) => {
    left = words
    // The sound of an event came before it was due.
    spokeAt = dueAt - speakerPieceMs
    state = state === "hearing" ? "interrupting" : "asking"
  }

  const onMessage = (text: string) => {
    const now = performance.now()
    switch (typeOf(text)) {
      case "error":
        return fail(text.slice(0, 300))
      case "input_audio_buffer.speech_started":
        startedAt = now
        return
      case "input_audio_buffer.speech_stopped":
        stoppedAt = now
        return
      case "response.output_audio.delta":
        lastAudioAt = now
        if (state === "interrupting") return
        if (state === "waiting" && endedAt > 0) {
          if (isWarm && !plan.interrupts && !isOver()) {
            asked.push({ firstAudioMs: now - endedAt, stoppedMs: stoppedAt - endedAt })
          }
          state = "hearing"
          heardMs = 0
          if (plan.interrupts) askAt = now + interruptAfterMs
        }
        heardMs += audioMs(text)
        return
      case "response.done":
        if (!/"status":"(completed|cancelled)","status_details"/.test(text)) fail(text.slice(0, 300))
        if (state === "interrupting") {
          if (text.includes('"status":"completed"')) fail("the reply was over before the interruption")
          else if (isWarm && !isOver()) {
            const lastAudioMs = Math.max(0, lastAudioAt - startedAt)
            interrupted.push({ startedMs: startedAt - spokeAt, lastAudioMs })
          }
          // The interruption is a question as well.
          state = left.length > 0 ? "asking" : "waiting"
          return
        }
        if (state !== "hearing") return
        if (plan.interrupts) fail("the reply was over before the interruption")
        state = "thinking"
        // It speaks again when the reply was heard.
        askAt = now + heardMs + Math.random() * thinkMs
        return
    }
  }

  const next = (dueAt: number) => {
    if (state === "waiting" && dueAt - endedAt > answerMs) {
      fail("no reply")
      state = "thinking"
      askAt = dueAt
    }
    if ((state === "thinking" || (state === "hearing" && plan.interrupts)) && dueAt >= askAt) begin(dueAt)
    const [word, ...rest] = left
    if (word === undefined) {
      silent = (silent + 1) % quiet.length
      return quiet[silent] ?? ""
    }
    left = rest
    if (rest.length === 0) {
      endedAt = dueAt
      if (state === "asking") state = "waiting"
    }
    return word
  }

  const socket = await connect(onMessage)
  microphones.push({ socket, pieceMs: speakerPieceMs, dueAt: performance.now(), next })
}

const listen = async () => {
  let at = 0
  const socket = await connect((text) => {
    if (typeOf(text) === "error") fail(text.slice(0, 300))
    if (typeOf(text) === "input_audio_buffer.speech_started") fail("heard speech in silence")
  })
  microphones.push({
    socket,
    pieceMs: listenerPieceMs,
    // They do not send in step.
    dueAt: performance.now() + Math.random() * listenerPieceMs,
    next: () => {
      at = (at + 1) % quietForListeners.length
      return quietForListeners[at] ?? ""
    },
  })
}

const open = [
  ...Array.from({ length: plan.listening }, () => listen),
  ...Array.from({ length: plan.speaking }, () => speak),
]
setInterval(pump, 5)
for (let at = 0; at < open.length; at += connecting) {
  await Promise.all(open.slice(at, at + connecting).map((each) => each()))
}

const stopped = Promise.withResolvers<void>()
process.once("SIGUSR2", () => stopped.resolve())
console.log("ready")
await Promise.race([stopped.promise, Bun.sleep(warmMs)])
isWarm = true
late.length = 0
console.log("warm")
if (plan.questions > 0) {
  isOver = () => asked.length + interrupted.length >= plan.questions
  while (!isOver()) await Bun.sleep(20)
} else await stopped.promise

const report: Driven = { asked, interrupted, failures, lateMs: percentile(late, 0.95) }
console.log(JSON.stringify(Schema.encodeSync(Driven)(report)))
process.exit(0)
