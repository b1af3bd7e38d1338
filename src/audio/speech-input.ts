/** What a text-to-speech server sent: its first bytes decide, then its Content-Type, then what it was asked for. */
import type { MediaType } from "./media-type.ts"
import { frameAt, tagAt } from "./mp3-frame.ts"
import { isNoise, NOISE_BYTES } from "./noise.ts"
import { isText, kindOfText, otherFile } from "./not-audio.ts"
import { declaredSamples, openAiPcm, type RawSamples } from "./raw-samples.ts"
import { type Demuxer, signatureOf } from "./sniff.ts"

/** An audio file. ffmpeg's name of the demuxer that reads it. */
export interface SpeechFile {
  readonly demuxer: Demuxer | "aac" | "aiff" | "au" | "caf"
}

export type SpeechInput = SpeechFile | RawSamples

/** An answer that is not audio. `kind` names it for the log: `JSON`, `HTML`, `image/png`. */
export interface NotAudio {
  readonly kind: string
}

/** The values of `response_format` in OpenAI's API. */
export const requestableFormats = ["mp3", "opus", "aac", "flac", "wav", "pcm"] as const
export type RequestedFormat = (typeof requestableFormats)[number]

/** A name for the log. */
export const nameOf = (input: SpeechInput): string =>
  "sampleRate" in input ? "PCM" : FILE_NAMES[input.demuxer]

const FILE_NAMES: Readonly<Record<SpeechFile["demuxer"], string>> = {
  wav: "WAV",
  mp3: "MP3",
  ogg: "Ogg",
  flac: "FLAC",
  matroska: "WebM",
  mov: "MP4",
  aac: "AAC",
  aiff: "AIFF",
  au: "AU",
  caf: "CAF",
}

type Signature = readonly [
  demuxer: "aiff" | "au" | "caf",
  ...ReadonlyArray<readonly [at: number, text: string]>,
]

/** Of the formats that are not accepted as recordings. */
const SIGNATURES: ReadonlyArray<Signature> = [
  ["aiff", [0, "FORM"], [8, "AIFF"]],
  ["aiff", [0, "FORM"], [8, "AIFC"]],
  ["au", [0, ".snd"]],
  ["caf", [0, "caff"]],
]
/** Bytes that the longest signature needs. */
const SIGNATURE_BYTES = 12

const latin1 = (bytes: Uint8Array, from: number, to: number) =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1", from, to)

const signed = (head: Uint8Array): SpeechFile | undefined => {
  const demuxer = signatureOf(head)
  if (demuxer !== undefined) return { demuxer }
  const found = SIGNATURES.find(([, ...parts]) =>
    parts.every(([at, text]) => latin1(head, at, at + text.length) === text),
  )
  return found === undefined ? undefined : { demuxer: found[0] }
}

/** Size of the ADTS frame (ISO 13818-7, 6.2) at `at`; undefined if there is none. Its layer bits are 0, unlike MP3's. */
const adtsBytes = (data: Uint8Array, at: number): number | undefined => {
  const [b0 = 0, b1 = 0, b2 = 0, b3 = 0, b4 = 0, b5 = 0] = data.subarray(at, at + 6)
  if (b0 !== 0xff || (b1 & 0xf6) !== 0xf0 || ((b2 >> 2) & 15) > 12) return undefined
  const bytes = ((b3 & 3) << 11) | (b4 << 3) | (b5 >> 5)
  return bytes > 7 ? bytes : undefined
}

const mp3Bytes = (data: Uint8Array, at: number) => frameAt(data, at)?.bytes

/** Frames in a row that prove a format without a signature. Samples may begin like one frame by chance. */
const PROVING_FRAMES = 3
/** Bytes of the longest frame header. */
const FRAME_HEADER_BYTES = 6

/** Whether frames follow each other from `at`; undefined if there are too few bytes to tell. */
const hasFrames = (
  head: Uint8Array,
  at: number,
  isWhole: boolean,
  bytesAt: (data: Uint8Array, at: number) => number | undefined,
): boolean | undefined => {
  let next = at
  for (let i = 0; i < PROVING_FRAMES; i++) {
    if (next + FRAME_HEADER_BYTES > head.length) return isWhole ? i > 0 && next >= head.length : undefined
    const bytes = bytesAt(head, next)
    if (bytes === undefined) return false
    next += bytes
  }
  return true
}

const isTextType = /^text\/|[/+](json|xml|html)$/
/** Types that servers use for any audio. `video` is that of WebM and MP4. */
const mayBeAudio = /^$|^(audio|video)\/|^application\/(octet-stream|ogg|binary|x-.*)$|^binary\//

const isMpegType = /^audio\/(x-)?(mpeg|mp3|mpeg3)$/
/** Bytes searched for the first frame of an MP3 that starts with something else. */
const JUNK_BYTES = 16 * 1024

const hasMp3Inside = (head: Uint8Array, isWhole: boolean): boolean | undefined => {
  for (let at = head.indexOf(0xff); at >= 0 && at < JUNK_BYTES; at = head.indexOf(0xff, at + 1)) {
    const found = hasFrames(head, at, isWhole, mp3Bytes)
    if (found !== false) return found
  }
  return isWhole || head.length >= JUNK_BYTES ? false : undefined
}

/** Samples, unless they are compressed data. */
const samplesOrNoise = (
  head: Uint8Array,
  isWhole: boolean,
  samples: RawSamples,
): RawSamples | NotAudio | undefined => {
  const { demuxer } = samples
  if (demuxer !== "s16le" && demuxer !== "s16be") return samples
  if (head.length < NOISE_BYTES && !isWhole) return undefined
  return isNoise(head, demuxer === "s16be") ? { kind: "noise" } : samples
}

/** Audio without a signature. */
const unsigned = (
  head: Uint8Array,
  isWhole: boolean,
  type: MediaType,
  requested: RequestedFormat | undefined,
): SpeechInput | NotAudio | undefined => {
  const declared = declaredSamples(type)
  const expectsMp3 =
    declared === undefined && requested !== "pcm" && requested !== "wav" && !isTextType.test(type.name)
  // Where MP3 is expected, its first frame is enough, so that the first audio does not wait for the third.
  if (expectsMp3 && frameAt(head, 0) !== undefined) return { demuxer: "mp3" }
  const text = isText(head, isWhole)
  if (text === true) return { kind: kindOfText(head) }
  const mp3 = hasFrames(head, 0, isWhole, mp3Bytes)
  if (mp3 === true) return { demuxer: "mp3" }
  const adts = hasFrames(head, 0, isWhole, adtsBytes)
  if (adts === true) return { demuxer: "aac" }
  if (text === undefined || mp3 === undefined || adts === undefined) return undefined
  if (isTextType.test(type.name)) return { kind: kindOfText(head) }
  if (!mayBeAudio.test(type.name)) return { kind: type.name.replace(/[^\w.+/-]/g, "").slice(0, 60) }
  if (declared !== undefined) return samplesOrNoise(head, isWhole, declared)
  if (expectsMp3) return { demuxer: "mp3" }
  if (!isMpegType.test(type.name)) return samplesOrNoise(head, isWhole, openAiPcm)
  const inside = hasMp3Inside(head, isWhole)
  if (inside === undefined) return undefined
  return inside ? { demuxer: "mp3" } : samplesOrNoise(head, isWhole, openAiPcm)
}

/** Bytes of the ID3 tags at the start; undefined if the last one is incomplete. */
export const tagsBytes = (head: Uint8Array): number | undefined => {
  let at = 0
  while (latin1(head, at, at + 3) === "ID3") {
    const tag = tagAt(head, at)
    if (tag === undefined || at + tag > head.length) return undefined
    if (tag === 0) return at
    at += tag
  }
  return at
}

/**
 * What an answer is. `head`: its first bytes; `isWhole`: they are all of it. Undefined if there are too few bytes to
 * tell, which never happens with the whole answer unless it is empty. Samples without a header are those of the
 * Content-Type or, if it declares none, 24 kHz mono 16-bit little-endian where samples were requested.
 */
export const identifySpeech = (
  head: Uint8Array,
  isWhole: boolean,
  type: MediaType,
  requested: RequestedFormat | undefined,
): SpeechInput | NotAudio | undefined => {
  if (head.length === 0 || (head.length < SIGNATURE_BYTES && !isWhole)) return undefined
  const file = signed(head)
  if (file !== undefined) return file
  const other = otherFile(head)
  if (other !== undefined) return { kind: other }
  if (latin1(head, 0, 3) !== "ID3") return unsigned(head, isWhole, type, requested)
  // AAC and FLAC may have such a tag too, or several.
  const tag = tagsBytes(head)
  if (tag === 0) return { demuxer: "mp3" }
  if (tag === undefined || head.length < tag + SIGNATURE_BYTES)
    return isWhole ? { demuxer: "mp3" } : undefined
  const tagged = head.subarray(tag)
  return signed(tagged) ?? (adtsBytes(tagged, 0) === undefined ? { demuxer: "mp3" } : { demuxer: "aac" })
}
