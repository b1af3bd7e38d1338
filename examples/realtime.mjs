/**
 * A hands-free conversation in Node.js: sends a recording as a microphone would, and saves the spoken reply as a WAV.
 *
 *     node examples/realtime.mjs examples/question.wav reply.wav
 *     node examples/realtime.mjs examples/question.wav reply.wav examples/follow-up.wav
 *
 * The third argument is said while the reply plays, and interrupts it. The example needs ffmpeg, and the package ws, which
 * this checkout has (elsewhere: npm install ws).
 *
 * VOICE_AGENT_URL is the service's address (default: http://localhost:3000). VOICE_AGENT_KEY is an API key; without one
 * the example registers a new user.
 */
import { execFileSync } from "node:child_process"
import { existsSync, writeFileSync } from "node:fs"
import WebSocket from "ws"

const [recording = "examples/question.wav", answer = "reply.wav", interruption] = process.argv.slice(2)
const baseUrl = process.env.VOICE_AGENT_URL ?? "http://localhost:3000"

/** The protocol's default format: 24 kHz, mono, 16-bit little-endian. */
const sampleRate = 24_000
const bytesPerMs = (sampleRate * 2) / 1000
/** Audio per event. */
const chunkMs = 100
/** How much of the reply plays before the interruption. */
const interruptAfterMs = 600
const longestSilenceMs = 30_000

const fail = (message) => {
  console.error(message)
  process.exit(1)
}

const samplesOf = (path) => {
  if (!existsSync(path)) fail(`There is no file ${path}.`)
  const format = ["-f", "s16le", "-ac", "1", "-ar", `${sampleRate}`]
  try {
    return execFileSync("ffmpeg", ["-nostdin", "-v", "error", "-i", path, ...format, "-"], {
      maxBuffer: 256 * 1024 * 1024,
      stdio: ["ignore", "pipe", "pipe"],
    })
  } catch (error) {
    if (error.code === "ENOENT") fail("ffmpeg is not installed.")
    return fail(`${path} cannot be decoded.`)
  }
}

const wavOf = (samples) => {
  const header = Buffer.alloc(44)
  header.write("RIFF")
  header.writeUInt32LE(36 + samples.length, 4)
  header.write("WAVEfmt ", 8)
  header.writeUInt32LE(16, 16)
  header.writeUInt16LE(1, 20)
  header.writeUInt16LE(1, 22)
  header.writeUInt32LE(sampleRate, 24)
  header.writeUInt32LE(sampleRate * 2, 28)
  header.writeUInt16LE(2, 32)
  header.writeUInt16LE(16, 34)
  header.write("data", 36)
  header.writeUInt32LE(samples.length, 40)
  return Buffer.concat([header, samples])
}

/** In place of a loudspeaker: it plays in real time, and keeps what was heard. */
const player = {
  heard: Buffer.alloc(0),
  itemId: undefined,
  /** Where the audio of the item begins in `heard`. */
  start: 0,
  endsAt: 0,
  play(itemId, samples) {
    if (itemId !== this.itemId) this.start = this.heard.length
    this.itemId = itemId
    this.heard = Buffer.concat([this.heard, samples])
    this.endsAt = Math.max(this.endsAt, performance.now()) + samples.length / bytesPerMs
  },
  isPlaying() {
    return performance.now() < this.endsAt
  },
  /** Of the item's audio. */
  playedMs() {
    const left = Math.max(0, this.endsAt - performance.now())
    return Math.max(0, Math.floor((this.heard.length - this.start) / bytesPerMs - left))
  },
  stop() {
    const playedMs = this.playedMs()
    this.heard = this.heard.subarray(0, this.start + playedMs * bytesPerMs)
    this.endsAt = 0
    return { itemId: this.itemId, playedMs }
  },
}

/** What the microphone will hear. Behind it there is silence. */
let sound = samplesOf(recording)
let toInterrupt = interruption === undefined ? undefined : samplesOf(interruption)

const register = async () => {
  const answer = await fetch(`${baseUrl}/api/v1/users/register`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ email: `${Date.now()}@example.com` }),
  }).catch(({ cause }) => fail(`The service at ${baseUrl} cannot be reached: ${cause?.message}`))
  const { apiKey, error, message } = await answer.json()
  return apiKey ?? fail(`${error}: ${message}`)
}

const key = process.env.VOICE_AGENT_KEY ?? (await register())
const socket = new WebSocket(`${baseUrl.replace(/^http/, "ws")}/v1/realtime`, {
  headers: { authorization: `Bearer ${key}` },
})
const send = (event) => socket.send(JSON.stringify(event))

let sessionId
/** Something was said that has no reply yet. */
let isWaiting = true
let heardFromServiceAt = performance.now()

/** Runs every 100 ms, like the callback of a microphone. The service needs the silence, too: it ends the turn. */
const record = () => {
  const chunk = sound.subarray(0, chunkMs * bytesPerMs)
  sound = sound.subarray(chunk.length)
  const audio = Buffer.alloc(chunkMs * bytesPerMs)
  chunk.copy(audio)
  send({ type: "input_audio_buffer.append", audio: audio.toString("base64") })

  if (toInterrupt !== undefined && player.isPlaying() && player.playedMs() > interruptAfterMs) {
    sound = toInterrupt
    toInterrupt = undefined
  }
  // Close only after the reply was played: what plays at the close counts as heard up to there.
  if (!isWaiting && !player.isPlaying() && sound.length === 0) socket.close()
  if (performance.now() - heardFromServiceAt > longestSilenceMs) {
    fail(`The service has sent nothing for ${longestSilenceMs / 1000} s. Is there speech in ${recording}?`)
  }
}

const handlers = {
  "session.created": ({ session }) => {
    sessionId = session.id
    // Transcripts of the user are off by default. A call such as this one also sets instructions, voice and tools.
    const audio = { input: { transcription: {} } }
    send({ type: "session.update", session: { type: "realtime", audio } })
    const microphone = setInterval(record, chunkMs)
    socket.on("close", () => clearInterval(microphone))
  },
  "input_audio_buffer.speech_started": () => {
    isWaiting = true
    if (!player.isPlaying()) return
    // The service has stopped the response, which was often done already. Only the client knows what was played.
    const { itemId, playedMs } = player.stop()
    console.log(`(Interrupted after ${playedMs} ms.)`)
    send({
      type: "conversation.item.truncate",
      item_id: itemId,
      content_index: 0,
      audio_end_ms: playedMs,
    })
  },
  "conversation.item.input_audio_transcription.completed": ({ transcript }) => {
    console.log(`You:   ${transcript}`)
  },
  "response.output_audio.delta": ({ item_id, delta }) => player.play(item_id, Buffer.from(delta, "base64")),
  "response.output_audio_transcript.done": ({ transcript }) => console.log(`Reply: ${transcript}`),
  "response.done": ({ response }) => {
    const { status, status_details } = response
    if (status === "failed") fail(`${status_details.error.code}: ${status_details.error.message}`)
    // Another response follows a cancelled one.
    if (status !== "cancelled") isWaiting = false
  },
  // The connection stays open, unless the service closes it.
  error: ({ error }) => console.error(`${error.code}: ${error.message}`),
}

socket.on("message", (data) => {
  heardFromServiceAt = performance.now()
  const event = JSON.parse(data)
  handlers[event.type]?.(event)
})
// The handshake was refused: the response is one of the HTTP API's errors.
socket.on("unexpected-response", async (_, response) => {
  const { error, message } = JSON.parse(Buffer.concat(await response.toArray()))
  fail(`${error}: ${message}`)
})
socket.on("error", ({ code, message }) =>
  fail(`The service at ${baseUrl} cannot be reached: ${code ?? message}`),
)
socket.on("close", (code) => {
  // 1005: the example closed it, without a code.
  if (code !== 1005) fail(`The service closed the connection (${code}).`)
  writeFileSync(answer, wavOf(player.heard))
  const seconds = player.heard.length / bytesPerMs / 1000
  console.log(`${answer}: ${seconds.toFixed(1)} s; session ${sessionId}`)
})
