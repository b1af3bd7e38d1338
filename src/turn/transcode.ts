import { Effect, Option } from "effect"
import type { Recording } from "../audio/container.ts"
import { AudioTooLong, InvalidAudio } from "../audio/errors.ts"
import { WAV_HEADER_BYTES, type WavInfo, wavHeader } from "../audio/wav.ts"
import { bytesPerSecond, sampleRate } from "../ffmpeg/decoder.ts"
import type { Decoding, Ffmpeg } from "../ffmpeg/ffmpeg.ts"

/** What speech recognition hears best: 16 kHz mono 16-bit. */
export interface Speech {
  readonly wav: Uint8Array
  readonly seconds: number
}

/**
 * To 16 kHz mono 16-bit, by one ffmpeg; a WAV that is so already needs none. The length is that of the samples, since
 * browser recordings carry no duration and a header may lie.
 */
export const transcode = Effect.fn("transcode")(function* (
  ffmpeg: Ffmpeg["Type"],
  recording: Recording,
  maxSeconds: number,
  decoding: Decoding,
) {
  const asIs = Option.filter(recording.wav, isSpeechWav)
  const samples = Option.isSome(asIs)
    ? yield* readSamples(recording.upload.path, asIs.value, maxSeconds + 1)
    : yield* ffmpeg.decode(recording, decoding)
  const seconds = samples.length / bytesPerSecond
  if (seconds === 0) return yield* new InvalidAudio({ reason: "no samples" })
  if (seconds > maxSeconds) return yield* new AudioTooLong({ maxSeconds })
  const wav = new Uint8Array(WAV_HEADER_BYTES + samples.length)
  wav.set(wavHeader({ sampleRate, channels: 1, bitsPerSample: 16, dataBytes: samples.length }))
  wav.set(samples, WAV_HEADER_BYTES)
  return { wav, seconds } satisfies Speech
})

const isSpeechWav = (wav: WavInfo) =>
  wav.formatTag === 1 && wav.sampleRate === sampleRate && wav.channels === 1 && wav.bitsPerSample === 16

/** No more of them than tell that they are too many. */
const readSamples = (path: string, { dataOffset, dataBytes }: WavInfo, mostSeconds: number) =>
  Effect.promise(() =>
    Bun.file(path)
      .slice(dataOffset, dataOffset + Math.min(dataBytes, Math.ceil(mostSeconds * bytesPerSecond)))
      .bytes(),
  )
