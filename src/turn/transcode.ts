import { Effect } from "effect"
import type { Recording } from "../audio/container.ts"
import { checkDuration, type Pcm16k, sampleRate } from "../audio/pcm.ts"
import { WAV_HEADER_BYTES, wavHeader } from "../audio/wav.ts"
import { type Ffmpeg, needsFfmpeg } from "../ffmpeg/ffmpeg.ts"
import { Overloaded } from "../limits/admission.ts"

export interface Speech extends Pcm16k {
  readonly wav: Uint8Array
}

/** To 16 kHz mono 16-bit. */
export const transcode = Effect.fn("transcode")(function* (
  ffmpeg: Ffmpeg["Type"],
  recording: Recording,
  maxSeconds: number,
  inSlot: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E | Overloaded>,
) {
  const decoded = Effect.catchTag(
    ffmpeg.decode(recording),
    "FfmpegKilled",
    () => new Overloaded({ reason: "memory", retryAfter: 1 }),
  )
  const pcm = yield* needsFfmpeg(recording) ? inSlot(decoded) : decoded
  yield* checkDuration(pcm, maxSeconds)
  const wav = new Uint8Array(WAV_HEADER_BYTES + pcm.bytes.length)
  wav.set(wavHeader({ sampleRate, channels: 1, bitsPerSample: 16, dataBytes: pcm.bytes.length }))
  wav.set(pcm.bytes, WAV_HEADER_BYTES)
  return { ...pcm, wav } satisfies Speech
})
