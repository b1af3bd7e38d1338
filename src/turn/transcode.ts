import { Effect, Either, Option } from "effect"
import { AudioTooLong, InvalidAudio } from "./errors.ts"
import { bytesPerSecond, decode, type FfmpegSettings, sampleRate } from "./ffmpeg.ts"
import type { Recording } from "./validate.ts"
import { parseWav, type WavInfo, wavHeader } from "./wav.ts"

/** What speech recognition hears best: 16 kHz mono 16-bit. */
export interface Speech {
  readonly wav: Uint8Array
  readonly seconds: number
}

/**
 * To 16 kHz mono 16-bit, by at most one start of ffmpeg; a WAV that is so already needs none. The length is that of
 * the decoded samples, since browser recordings carry no duration and a header may lie.
 */
export const transcode = Effect.fn("transcode")(function* (recording: Recording, settings: FfmpegSettings) {
  const asIs = Option.filter(recording.wav, isSpeechWav)
  const path = Option.isSome(asIs) ? recording.upload.path : yield* decode(recording, settings)
  const file = Bun.file(path)
  const samples = Option.isSome(asIs)
    ? asIs.value
    : yield* Effect.mapError(yield* readInfo(file), (reason) => new InvalidAudio({ reason }))
  const seconds = samples.dataBytes / bytesPerSecond
  if (seconds === 0) return yield* new InvalidAudio({ reason: "no samples" })
  if (seconds > settings.maxAudioSeconds)
    return yield* new AudioTooLong({ maxSeconds: settings.maxAudioSeconds })
  const wav = new Uint8Array(44 + samples.dataBytes)
  wav.set(wavHeader({ sampleRate, channels: 1, bitsPerSample: 16, dataBytes: samples.dataBytes }))
  const { dataOffset, dataBytes } = samples
  wav.set(yield* Effect.promise(() => file.slice(dataOffset, dataOffset + dataBytes).bytes()), 44)
  return { wav, seconds } satisfies Speech
})

const isSpeechWav = (wav: WavInfo) =>
  wav.formatTag === 1 && wav.sampleRate === sampleRate && wav.channels === 1 && wav.bitsPerSample === 16

const readInfo = (file: Bun.BunFile) =>
  Effect.map(
    Effect.promise(() => file.slice(0, 4096).bytes()),
    (head) => Either.mapLeft(parseWav(head, file.size), (problem) => `ffmpeg wrote a WAV that is ${problem}`),
  )
