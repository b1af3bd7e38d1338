import { frameAt, type Mp3Frame, sameFormat, tagAt } from "./mp3-frame.ts"

/** The ffmpeg demuxers that may open an upload, by their ffmpeg names. */
export type Demuxer = "wav" | "mp3" | "matroska" | "ogg" | "flac" | "mov"

export interface Sniffed {
  readonly demuxer: Demuxer
  /** Where the recording starts in the bytes. Above 0 only for an MP3 behind junk. */
  readonly at: number
}

/** RF64 and BW64 have 64-bit sizes (EBU Tech 3306, ITU-R BS.2088). RIFX is big-endian. */
const waveFamily = ["RIFF", "RF64", "BW64", "RIFX"]

/** The format whose signature starts at the first byte. Needs 12 bytes. MP3 has no signature. */
export const signatureOf = (bytes: Uint8Array): Exclude<Demuxer, "mp3"> | undefined => {
  const magic = (at: number, length = 4) => Buffer.from(bytes.subarray(at, at + length)).toString("latin1")
  if (waveFamily.includes(magic(0)) && magic(8) === "WAVE") return "wav"
  if (magic(0) === "fLaC") return "flac"
  if (magic(0) === "OggS") return "ogg"
  if (magic(0) === "\x1a\x45\xdf\xa3") return "matroska"
  return magic(4) === "ftyp" ? "mov" : undefined
}

/** The format that starts at the first byte, or the MP3 that starts within these bytes. Undefined for any other. */
export const sniff = (bytes: Uint8Array): Sniffed | undefined => {
  const demuxer = signatureOf(bytes)
  if (demuxer !== undefined) return { demuxer, at: 0 }
  const frame = firstMp3Frame(bytes)
  return frame === undefined ? undefined : { demuxer: "mp3", at: frame }
}

/** An MP3 may start inside a frame, which is at most 1441 bytes, and some encoders pad. */
const nearBytes = 4096
/** One header alone occurs by chance in other formats. Two do too, in many bytes. */
const consecutiveNear = 2
const consecutiveFar = 4

const firstMp3Frame = (bytes: Uint8Array): number | undefined => {
  for (let at = bytes.indexOf(0xff); at >= 0; at = bytes.indexOf(0xff, at + 1)) {
    const frame = frameAt(bytes, at)
    if (frame === undefined) continue
    const needed = at < nearBytes ? consecutiveNear : consecutiveFar
    if (areConsecutive(bytes, at, frame, needed)) return at
  }
  return undefined
}

/** Whether `needed` frames follow each other from `at`, or fewer up to the end. Far from the start, in one format. */
const areConsecutive = (bytes: Uint8Array, at: number, first: Mp3Frame, needed: number): boolean => {
  let next = at + first.bytes
  for (let n = 1; n < needed; n++) {
    if (next === bytes.length && needed === consecutiveNear) return true
    const frame = frameAt(bytes, next)
    if (frame === undefined || (needed === consecutiveFar && !sameFormat(frame, first))) return false
    next += frame.bytes
  }
  return true
}

/** Fewer zeros may belong to a format: an MP4 starts with three. */
const minPadding = 16

/** A byte order mark, which a program puts before a file that it takes for UTF-8 text. */
const byteOrderMark = [0xef, 0xbb, 0xbf]

/** How many bytes of tag, padding (zeros) or byte order mark stand before anything else. 0 if there are none. */
export const leadingBytes = (bytes: Uint8Array): number => {
  const zeros = bytes.findIndex((byte) => byte !== 0)
  const padding = zeros < 0 ? bytes.length : zeros
  if (padding >= minPadding) return padding
  if (padding > 0 && signatureOf(bytes) === undefined && signatureOf(bytes.subarray(padding)) !== undefined) {
    return padding
  }
  if (byteOrderMark.every((byte, at) => bytes[at] === byte)) return byteOrderMark.length
  return tagAt(bytes, 0) ?? 0
}
