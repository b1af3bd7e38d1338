import { Effect, Either, Option } from "effect"
import { InvalidAudio } from "./errors.ts"
import { frameAt } from "./mp3-frame.ts"
import { indexIsFirst } from "./mp4.ts"
import { parseWav, type WavInfo } from "./wav.ts"

/** ffmpeg's names of those that may open an upload. */
export type Demuxer = "wav" | "mp3" | "matroska" | "ogg" | "flac" | "mov"

/** An upload as it lies in the turn's own folder, which goes with the turn. */
export interface Upload {
  /** Absolute. */
  readonly folder: string
  readonly path: string
  readonly bytes: number
  /** In hex. */
  readonly sha256: string
}

/** An upload that is what its first bytes say. */
export interface Recording {
  readonly upload: Upload
  readonly demuxer: Demuxer
  /** `file`: an MP4 whose index comes after its sound has to be searched. All else is read from beginning to end. */
  readonly readFrom: "pipe" | "file"
  /** Where a WAV's samples are; None for all else, and for a WAV whose samples start past the first 64 KiB. */
  readonly wav: Option.Option<WavInfo>
}

/** For a person. */
export const acceptedFormats = "WAV, MP3, WebM, OGG, FLAC, M4A/MP4"

/** Enough of a file to tell its kind: an OGG or WebM says it in its first hundred bytes. */
const headBytes = 64 * 1024

/** Declared types and names count for nothing: browsers and phones get them wrong, and attackers get them right. */
export const validate = Effect.fn("validate")(function* (upload: Upload) {
  if (upload.bytes === 0) return yield* new InvalidAudio({ reason: "empty" })
  const head = yield* readAt(upload.path, 0, headBytes)
  const demuxer = yield* sniff(upload.path, head)
  const parsed = demuxer === "wav" ? parseWav(head, upload.bytes) : Either.left("not-wav")
  const readFrom = demuxer === "mov" && !indexIsFirst(head) ? "file" : "pipe"
  const recording: Recording = { upload, demuxer, readFrom, wav: Either.getRight(parsed) }
  if (Option.exists(recording.wav, ({ dataBytes }) => dataBytes === 0)) {
    return yield* new InvalidAudio({ reason: "a WAV without samples" })
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
  return yield* new InvalidAudio({ reason: "an unknown kind of file" })
})

/** An ID3v2 tag's size with its header (10 bytes) and footer: four bytes of 7 bits each, from the 7th on. */
const id3Bytes = (head: Uint8Array) => {
  const [a = 0, b = 0, c = 0, d = 0] = head.subarray(6, 10)
  const footer = ((head[5] ?? 0) & 0x10) === 0 ? 0 : 10
  return 10 + footer + ((a & 0x7f) << 21) + ((b & 0x7f) << 14) + ((c & 0x7f) << 7) + (d & 0x7f)
}

/** How far into an MP3 its first frame may start: some encoders pad, and cut recordings start within a frame. */
const mp3SearchBytes = 4096

/** Two frames in a row: one alone is found by chance in much that is no MP3. */
const startsAsMp3 = (bytes: Uint8Array): boolean => {
  for (let at = bytes.indexOf(0xff); at >= 0 && at < mp3SearchBytes; at = bytes.indexOf(0xff, at + 1)) {
    const frame = frameAt(bytes, at)
    if (frame === undefined) continue
    const next = at + frame.bytes
    if (next === bytes.length || frameAt(bytes, next) !== undefined) return true
  }
  return false
}
