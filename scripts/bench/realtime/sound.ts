import { join } from "node:path"
import { ffmpeg } from "../../../test/support/ffmpeg.ts"
import { noiseOf } from "../../../test/support/sounds.ts"

/** Samples per second of the protocol's audio/pcm. */
const rate = 24_000

/** Audio in one event of a speaker and of a listener, in ms: what WebRTC sends, and what LiveKit sends. */
export const speakerPieceMs = 20
export const listenerPieceMs = 100

/** The softest sample of speech: -40 dBFS. */
const softest = 327

const recording = join(import.meta.dir, "../../../examples/question.wav")

const event = (samples: Int16Array): string =>
  JSON.stringify({
    type: "input_audio_buffer.append",
    audio: Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength).toString("base64"),
  })

/** The events of some audio, each with so many ms. A rest that is shorter is dropped. */
export const eventsOf = (samples: Int16Array, pieceMs: number): ReadonlyArray<string> => {
  const size = (rate / 1000) * pieceMs
  return Array.from({ length: Math.floor(samples.length / size) }, (_, at) =>
    event(samples.subarray(at * size, (at + 1) * size)),
  )
}

/** A question from its first sound to its last one. */
export const question = async (): Promise<Int16Array> => {
  const bytes = await ffmpeg(["-i", recording, "-ac", "1", "-ar", `${rate}`, "-f", "s16le", "pipe:1"])
  const samples = new Int16Array(Uint8Array.from(bytes).buffer)
  const isLoud = (sample: number) => Math.abs(sample) > softest
  return samples.subarray(samples.findIndex(isLoud), samples.findLastIndex(isLoud) + 1)
}

/** A second without speech: digital silence, or noise of about -60 dBFS as of a quiet room. */
export const silence = (sound: "muted" | "room"): Int16Array => {
  const noise = noiseOf(3)
  return Int16Array.from({ length: rate }, () => (sound === "muted" ? 0 : Math.round(noise() * 56)))
}
