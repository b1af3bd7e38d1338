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
  if (isUnswappable(head, wav))
    return yield* new InvalidAudio({ reason: "RIFX without one chunk of PCM or floats" })
  const recording: Recording = { path, bytes, demuxer, start, end, readFrom, wav }
  return recording
})

/** Whether a RIFX has other samples than integers of whole bytes or floats of 32 or 64 bits. */
const isUnswappable = (head: Uint8Array, wav: Option.Option<WavInfo>) =>
  Buffer.from(head.subarray(0, 4)).toString("latin1") === "RIFX" &&
  !Option.exists(
    wav,
    ({ formatTag, bitsPerSample, channels, blockAlign }) =>
      (formatTag === 1 ? bitsPerSample % 8 === 0 : formatTag === 3 && [32, 64].includes(bitsPerSample)) &&
      blockAlign === (channels * bitsPerSample) / 8,
  )

/** Taggers write a few tags, and faulty ones many small ones. */
const maxLeadingTags = 10_000
/** Reads of the bytes before the recording. With twice the bytes each time, zeros of 200 MB take a dozen. */
const maxReads = 100
const maxReadBytes = 16 * 1024 * 1024

/** Where something other than tags and padding starts in `bytes`, or where more bytes are needed; and how many tags precede. */
const skipLeading = (bytes: Uint8Array, maxTags: number) => {
  let at = 0
  let tags = 0
  for (; at < bytes.length && tags < maxTags; tags++) {
    const leading = leadingBytes(bytes.subarray(at))
    if (leading === 0) break
    at += leading
  }
  return { at, tags }
}

/** Finds the recording behind tags and padding, in any number and order. */
const locate = Effect.fnUntraced(function* (path: string) {
  let start = 0
  let tags = 0
  let readBytes = headBytes
  for (let n = 0; n < maxReads && tags < maxLeadingTags; n++) {
    const bytes = yield* readAt(path, start, readBytes)
    const leading = skipLeading(bytes, maxLeadingTags - tags)
    start += leading.at
    tags += leading.tags
    if (leading.at > 0) {
      if (leading.at >= bytes.length) readBytes = Math.min(2 * readBytes, maxReadBytes)
      else readBytes = headBytes
      continue
    }
    const head = bytes.subarray(0, headBytes)
    const found = sniff(head)
    // An MP4 gives the positions of its samples from the start of the file.
    if (found === undefined || (found.demuxer === "mov" && start > 0)) break
    return { demuxer: found.demuxer, start: start + found.at, head }
  }
  return yield* new InvalidAudio({ reason: "unknown format" })
})
