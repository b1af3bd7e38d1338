import { Effect, Either, Option } from "effect"
import { readAt } from "./read-at.ts"
import { chunkAt, parseWav, trailingChunksAt, type WavInfo } from "./wav.ts"

/** Bytes searched for chunks behind samples of unknown size. Tags and cue points are smaller. */
const tailBytes = 64 * 1024
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
  const parsed = parseWav(head, bytes - start)
  if (Either.isLeft(parsed)) return unknown
  const wav: WavInfo = { ...parsed.right, dataOffset: start + parsed.right.dataOffset }
  const dataEnd = wav.dataOffset + wav.dataBytes
  if (!wav.hasSize) {
    const tailStart = Math.max(wav.dataOffset, bytes - tailBytes)
    const tail = yield* readAt(path, tailStart, tailBytes)
    const trailing = trailingChunksAt(tail)
    if (trailing === undefined) return { wav: Option.some(wav), end: bytes }
    const end = tailStart + trailing
    const room = end - wav.dataOffset
    return { wav: Option.some({ ...wav, dataBytes: room - (room % wav.blockAlign) }), end }
  }
  let at = dataEnd + (wav.dataBytes % 2)
  for (let n = 0; at + 8 <= bytes; n++) {
    const chunk = n < maxChunksBehind ? chunkAt(yield* readAt(path, at, 8), 0) : undefined
    if (chunk === undefined) break
    if (chunk.id === "data" && chunk.size > 0) return unknown
    at = at + 8 + chunk.size + (chunk.size % 2)
  }
  return { wav: Option.some(wav), end: bytes }
})
