import { Effect, Either, Option } from "effect"
import { InvalidAudio } from "./errors.ts"
import { frameAt } from "./mp3-frame.ts"
import { indexIsFirst } from "./mp4.ts"
import { parseWav, type WavInfo } from "./wav.ts"

/** The ffmpeg demuxers that may open an upload, by their ffmpeg names. */
export type Demuxer = "wav" | "mp3" | "matroska" | "ogg" | "flac" | "mov"

export interface AudioFile {
  /** Absolute, because ffmpeg runs in another folder. */
  readonly path: string
  readonly bytes: number
}

/** A file of one of the accepted formats. */
export interface Recording extends AudioFile {
  readonly demuxer: Demuxer
  /** `file` for an MP4 whose index follows its sound, because ffmpeg must seek in it; else `pipe`. */
  readonly readFrom: "pipe" | "file"
  /** Where a WAV's samples are. None for other formats, and for a WAV whose samples start after the first 64 KiB. */
  readonly wav: Option.Option<WavInfo>
}

/** The formats, as API messages list them. */
export const acceptedFormats = "WAV, MP3, WebM, OGG, FLAC, M4A/MP4"

/** Bytes read to identify a file. OGG and WebM need a hundred; a WAV may have chunks before its samples. */
const headBytes = 64 * 1024

/**
 * Identifies a file by its first bytes. Declared types and file names do not count: browsers and phones get them wrong,
 * and attackers choose them. Fails with InvalidAudio for an empty file, an unknown format and a WAV without samples.
 */
export const identify = Effect.fn("identify")(function* ({ path, bytes }: AudioFile) {
  if (bytes === 0) return yield* new InvalidAudio({ reason: "empty file" })
  const head = yield* readAt(path, 0, headBytes)
  const demuxer = yield* sniff(path, head)
  const parsed = demuxer === "wav" ? parseWav(head, bytes) : Either.left("not-wav")
  const readFrom = demuxer === "mov" && !indexIsFirst(head) ? "file" : "pipe"
  const recording: Recording = { path, bytes, demuxer, readFrom, wav: Either.getRight(parsed) }
  if (Option.exists(recording.wav, ({ dataBytes }) => dataBytes === 0)) {
    return yield* new InvalidAudio({ reason: "WAV without samples" })
  }
  return recording
})

const readAt = (path: string, start: number, length: number) =>
  Effect.promise(() =>
    Bun.file(path)
      .slice(start, start + length)
      .bytes(),
  )

const sniff = Effect.fnUntraced(function* (path: string, head: Uint8Array) {
  const has = (at: number, text: string) =>
    Buffer.from(head.buffer, head.byteOffset, head.byteLength).toString("latin1", at, at + text.length) ===
    text
  if (has(0, "RIFF") && has(8, "WAVE")) return "wav"
  if (has(0, "fLaC")) return "flac"
  if (has(0, "OggS")) return "ogg"
  if (has(0, "\x1a\x45\xdf\xa3")) return "matroska"
  if (has(4, "ftyp")) return "mov"
  const audioAt = has(0, "ID3") ? id3Bytes(head) : 0
  const audio = audioAt === 0 ? head : yield* readAt(path, audioAt, headBytes)
  if (Buffer.from(audio).toString("latin1", 0, 4) === "fLaC") return "flac"
  if (startsAsMp3(audio)) return "mp3"
  return yield* new InvalidAudio({ reason: "unknown format" })
})

/** Bytes of an ID3v2 tag with its header (10) and footer (10 or 0). Bytes 6 to 9 hold its size, 7 bits each. */
const id3Bytes = (head: Uint8Array) => {
  const [a = 0, b = 0, c = 0, d = 0] = head.subarray(6, 10)
  const footer = ((head[5] ?? 0) & 0x10) === 0 ? 0 : 10
  return 10 + footer + ((a & 0x7f) << 21) + ((b & 0x7f) << 14) + ((c & 0x7f) << 7) + (d & 0x7f)
}

/** Bytes searched for the first MP3 frame: some encoders pad, and a cut recording starts inside a frame. */
const mp3SearchBytes = 4096

/** Requires two consecutive frames, because one alone occurs by chance in other formats. */
const startsAsMp3 = (bytes: Uint8Array): boolean => {
  for (let at = bytes.indexOf(0xff); at >= 0 && at < mp3SearchBytes; at = bytes.indexOf(0xff, at + 1)) {
    const frame = frameAt(bytes, at)
    if (frame === undefined) continue
    const next = at + frame.bytes
    if (next === bytes.length || frameAt(bytes, next) !== undefined) return true
  }
  return false
}
