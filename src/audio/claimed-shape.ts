/** The rate and the channels that a header claims, to refuse those that no speech has before anything is converted. */
import { Either } from "effect"
import type { SpeechInput } from "./speech-input.ts"
import { parseWav, type WavShape } from "./wav.ts"

export type ClaimedShape = Pick<WavShape, "sampleRate" | "channels">

/** Hz. Telephones use 8,000, and 4,000 keeps half of their band; studio converters end at 384,000. */
const sampleRates = { least: 4000, most: 384_000 } as const
/** The channels of a 9.1.6 layout, the largest in use. */
const maxChannels = 16

/** Whether speech may have this rate and these channels. At 1 Hz, one kilobyte would become ten minutes of sound. */
export const isPlausible = ({ sampleRate, channels }: ClaimedShape): boolean =>
  sampleRate >= sampleRates.least &&
  sampleRate <= sampleRates.most &&
  channels >= 1 &&
  channels <= maxChannels

/** The fixed fields of a Sun/NeXT header: 24 bytes, big-endian. */
const auShape = (head: DataView): ClaimedShape | undefined =>
  head.byteLength < 24 ? undefined : { sampleRate: head.getUint32(16), channels: head.getUint32(20) }

/** STREAMINFO is the first block of a FLAC (RFC 9639, 8.2): 20 bits of rate from byte 18, then 3 bits of channels. */
const flacShape = (head: DataView): ClaimedShape | undefined => {
  if (head.byteLength < 22) return undefined
  const bits = head.getUint32(18)
  return { sampleRate: bits >>> 12, channels: ((bits >>> 9) & 7) + 1 }
}

/** Like a WAV, with a `ds64` chunk of 64-bit sizes before the format (EBU Tech 3306). */
const rf64Shape = (head: Uint8Array) => {
  const asWav = Uint8Array.from(head)
  asWav.set(new TextEncoder().encode("RIFF"))
  return parseWav(asWav, Number.MAX_SAFE_INTEGER)
}

/** What the header claims. None: this format claims it elsewhere. Undefined: too few bytes to tell. */
export const claimedShape = (input: SpeechInput, head: Uint8Array): ClaimedShape | "none" | undefined => {
  if ("sampleRate" in input) return input
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength)
  if (input.demuxer === "au") return auShape(view)
  if (input.demuxer === "flac") return flacShape(view)
  if (input.demuxer !== "wav") return "none"
  const wav = parseWav(head, Number.MAX_SAFE_INTEGER)
  const parsed = Either.isLeft(wav) && wav.left === "rf64" ? rf64Shape(head) : wav
  if (Either.isRight(parsed)) return parsed.right
  return parsed.left === "truncated" ? undefined : "none"
}
