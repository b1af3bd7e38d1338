import { Effect, Either, Option } from "effect"
import { readAt } from "./read-at.ts"
import { chunkAt, parseWav, trailingChunksAt, type WavInfo, wavHeader } from "./wav.ts"

/** Bytes searched for chunks behind samples of unknown size. Tags and cue points are smaller. */
const tailBytes = 64 * 1024
/** Bytes read where the samples do not start in the first bytes. A cover may precede them. */
const longHeadBytes = 4 * 1024 * 1024
/** More chunks behind the samples are left to ffmpeg. */
const maxChunksBehind = 100

export interface WavBounds {
  /** Where the samples are in the file. None if the header does not tell, or if they are in several chunks. */
  readonly wav: Option.Option<WavInfo>
  /** Where the chunks behind samples of unknown size start, which would be heard as a click; else the end of the file. */
  readonly end: number
}

/**
 * Finds the samples of a WAV that starts at `start` of a file of `bytes`. `head` is what the file has from there. Reads
 * the file behind its samples: other chunks may follow, and more samples.
 */
export const wavBounds = Effect.fnUntraced(function* (
  path: string,
  bytes: number,
  start: number,
  head: Uint8Array,
) {
  const unknown: WavBounds = { wav: Option.none(), end: bytes }
  const first = parseWav(head, bytes - start)
  const isCut = Either.isLeft(first) && first.left === "truncated" && bytes - start > head.length
  const parsed = isCut ? parseWav(yield* readAt(path, start, longHeadBytes), bytes - start) : first
  if (Either.isLeft(parsed)) return unknown
  const wav: WavInfo = { ...parsed.right, dataOffset: start + parsed.right.dataOffset }
  const dataEnd = wav.dataOffset + wav.dataBytes
  if (!wav.hasSize) {
    const tailStart = Math.max(wav.dataOffset, bytes - tailBytes)
    const tail = yield* readAt(path, tailStart, tailBytes)
    const trailing = trailingChunksAt(tail, !wav.isBigEndian)
    if (trailing === undefined) return { wav: Option.some(wav), end: bytes }
    const end = tailStart + trailing
    const room = end - wav.dataOffset
    return { wav: Option.some({ ...wav, dataBytes: room - (room % wav.blockAlign) }), end }
  }
  let at = dataEnd + (wav.dataBytes % 2)
  for (let n = 0; at + 8 <= bytes; n++) {
    const chunk = n < maxChunksBehind ? chunkAt(yield* readAt(path, at, 8), 0, !wav.isBigEndian) : undefined
    if (chunk === undefined) break
    if (chunk.id === "data" && chunk.size > 0) return unknown
    at = at + 8 + chunk.size + (chunk.size % 2)
  }
  return { wav: Option.some(wav), end: bytes }
})

/** Divisible by every sample's size, so that no sample is cut. */
const swapBytes = 24 * 8192

/**
 * A big-endian WAV of PCM or floats as a little-endian one, whose samples ffmpeg does not swap: its bytes in chunks. `end` is
 * where the file's samples end at the latest.
 */
export async function* littleEndian(path: string, wav: WavInfo, end: number) {
  const { dataOffset, dataBytes, bitsPerSample } = wav
  const last = Math.min(end, dataOffset + dataBytes)
  yield wavHeader(wav, wav.formatTag)
  for (let at = dataOffset; at < last; at += swapBytes) {
    const bytes = await Bun.file(path)
      .slice(at, Math.min(last, at + swapBytes))
      .bytes()
    const width = bitsPerSample / 8
    for (let sample = 0; sample + width <= bytes.length; sample += width) {
      bytes.subarray(sample, sample + width).reverse()
    }
    yield bytes
  }
}
