import { Effect, Option } from "effect"
import { InvalidAudio } from "./errors.ts"
import { indexIsFirst } from "./mp4.ts"
import { readAt } from "./read-at.ts"
import { type Demuxer, leadingBytes, sniff } from "./sniff.ts"
import type { WavInfo } from "./wav.ts"
import { wavBounds } from "./wav-file.ts"

export interface AudioFile {
  /** Absolute, because ffmpeg runs in another folder. */
  readonly path: string
  readonly bytes: number
}

/** A file of one of the accepted formats. */
export interface Recording extends AudioFile {
  readonly demuxer: Demuxer
  /** The recording is the bytes from `start` to `end` of the file: without tags and padding before it. */
  readonly start: number
  readonly end: number
  /** `file` for an MP4 whose index follows its sound, because ffmpeg must seek in it; else `pipe`. */
  readonly readFrom: "pipe" | "file"
  /** Where a WAV's samples are in the file. None for other formats, and if only ffmpeg can tell. */
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
  const { demuxer, start, head } = yield* locate(path)
  const { wav, end } =
    demuxer === "wav" ? yield* wavBounds(path, bytes, start, head) : { wav: Option.none(), end: bytes }
  const readFrom = demuxer === "mov" && !indexIsFirst(head) ? "file" : "pipe"
  if (Option.exists(wav, ({ dataBytes }) => dataBytes === 0)) {
    return yield* new InvalidAudio({ reason: "WAV without samples" })
  }
  if (isUnswappable(head, wav)) return yield* new InvalidAudio({ reason: "RIFX without one chunk of PCM" })
  const recording: Recording = { path, bytes, demuxer, start, end, readFrom, wav }
  return recording
})

/** Whether a RIFX has other samples than integers of whole bytes. */
const isUnswappable = (head: Uint8Array, wav: Option.Option<WavInfo>) =>
  Buffer.from(head.subarray(0, 4)).toString("latin1") === "RIFX" &&
  !Option.exists(
    wav,
    ({ formatTag, bitsPerSample, channels, blockAlign }) =>
      formatTag === 1 && bitsPerSample % 8 === 0 && blockAlign === (channels * bitsPerSample) / 8,
  )

/** Taggers write a few tags. Each takes one read. */
const maxLeadingTags = 100

/** Finds the recording behind tags and padding, in any number and order. */
const locate = Effect.fnUntraced(function* (path: string) {
  let start = 0
  for (let n = 0; n < maxLeadingTags; n++) {
    const head = yield* readAt(path, start, headBytes)
    const leading = leadingBytes(head)
    start += leading
    if (leading > 0) continue
    const found = sniff(head)
    // An MP4 gives the positions of its samples from the start of the file.
    if (found === undefined || (found.demuxer === "mov" && start > 0)) break
    return { demuxer: found.demuxer, start: start + found.at, head }
  }
  return yield* new InvalidAudio({ reason: "unknown format" })
})
