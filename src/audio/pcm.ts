import { Effect } from "effect"
import { AudioTooLong, AudioTooShort, InvalidAudio } from "./errors.ts"

/** Hz. Speech recognition works on 16 kHz mono 16-bit little-endian samples. */
export const sampleRate = 16_000
export const bytesPerSecond = sampleRate * 2

/** Samples that a recognizer takes as they are. */
export interface Pcm16k {
  /** 16 kHz mono 16-bit little-endian. */
  readonly bytes: Uint8Array
  readonly seconds: number
}

export const pcm16k = (bytes: Uint8Array): Pcm16k => ({ bytes, seconds: bytes.length / bytesPerSecond })

/** 16-bit little-endian bytes as samples, copied: a view needs an even address. Half a sample at the end is left out. */
export const toSamples = (bytes: Uint8Array): Int16Array =>
  new Int16Array(Uint8Array.from(bytes.subarray(0, bytes.length - (bytes.length % 2))).buffer)

/** OpenAI refuses anything shorter, after the upload. Nobody says a word in less. */
const minSeconds = 0.1

/** Checks the decoded length. A header's duration does not count: browsers omit it, and it may be false. */
export const checkDuration = (
  { seconds }: Pcm16k,
  maxSeconds: number,
): Effect.Effect<void, InvalidAudio | AudioTooShort | AudioTooLong> => {
  if (seconds === 0) return new InvalidAudio({ reason: "no samples" })
  if (seconds < minSeconds) return new AudioTooShort({ minSeconds })
  return seconds > maxSeconds ? new AudioTooLong({ maxSeconds }) : Effect.void
}
