/** Speech that has to be converted, in many turns at once. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test"
import { hostResources } from "../../src/capacity.ts"
import { wav16k } from "../support/audio.ts"
import { encodings, tone } from "../support/encoded-speech.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"
import type { Step } from "../support/upstream.ts"

const reply = [
  "One sentence is here now.",
  "Another one follows it at once, and it is longer than the first was.",
  "And this is the third of them, which is as long as the one before it.",
]
/** Of one user: 4 a core. */
const most = 4 * hostResources().cores

let service: TurnService
let recording: Uint8Array = new Uint8Array()
let speech: Step = {}
beforeAll(async () => {
  service = await startTurns({ env: { FFMPEG_WARM: "0", TTS_TIMEOUT_SECONDS: "1" } })
  recording = await wav16k()
  const wav = encodings.find(({ name }) => name === "WAV 48 kHz stereo")
  if (wav === undefined) throw new Error("there is no such WAV")
  const audio = await wav.encode(await tone(0.6).pcm)
  speech = { audio, headers: { "content-type": wav.type } }
})
afterAll(() => service.stop())
beforeEach(() => {
  service.reset()
  service.upstream.default("llm", { text: reply.join(" ") })
  service.upstream.default("tts", speech)
})
afterEach(() => service.nothingLeft())

const ask = async (key: string, signal?: AbortSignal) => {
  const options = { accept: "audio/pcm", ...(signal === undefined ? {} : { signal }) }
  const answer = await service.converse(key, new Blob([recording]), options)
  expect(answer.status).toBe(200)
  return (await answer.bytes()).length
}

test("16 turns of one user run a bounded number of ffmpegs, and each gets all of its speech", async () => {
  const key = await service.register()
  const alone = await ask(key)
  let peak = 0
  let isRunning = true
  const watching = until(() => {
    peak = Math.max(peak, service.ffmpegsAlive().length)
    return !isRunning
  }, "the end of the turns")
  const lengths = await Promise.all(Array.from({ length: 16 }, () => ask(key)))
  isRunning = false
  await watching
  expect(lengths).toEqual(Array(16).fill(alone))
  expect(service.ffmpegs()).toHaveLength(17 * reply.length)
  expect(peak).toBeGreaterThan(0)
  expect(peak).toBeLessThanOrEqual(most)
})

test("speech that waits for a slot is not late: it is requested once", async () => {
  const key = await service.register()
  // The first segment needs three times the time-out; the others are whole at once.
  const slow = { ...speech, chunkBytes: 12_000, chunkDelayMs: 300 }
  service.upstream.script("tts", [slow])
  expect(await ask(key)).toBeGreaterThan(0)
  expect(service.upstream.calls("tts")).toHaveLength(reply.length)
})

test("turns whose clients hang up free their slots", async () => {
  const key = await service.register()
  service.ffmpegHangs(true)
  const leaving = new AbortController()
  const left = Array.from({ length: most + 2 }, () => ask(key, leaving.signal).catch(() => "left"))
  await until(() => service.ffmpegsAlive().length === most, "conversions in all slots")
  leaving.abort()
  expect(await Promise.all(left)).toEqual(Array(most + 2).fill("left"))
  service.ffmpegHangs(false)
  expect(await ask(key)).toBeGreaterThan(0)
})
