import { Either } from "effect"

/** Size of a plain PCM header, in bytes: RIFF (12), fmt (8 + 16), data (8). */
export const WAV_HEADER_BYTES = 44
/** A size field of a stream whose length is unknown. Players and ffmpeg then read to the end. */
const UNKNOWN_SIZE = 0xffffffff
const FORMAT_PCM = 1
const FORMAT_EXTENSIBLE = 0xfffe
/** The last 12 bytes of a sub-format GUID that wraps a plain format tag. Its first 4 are the tag and 00 00. */
const SUBFORMAT_TAIL = [0x00, 0x00, 0x10, 0x00, 0x80, 0x00, 0x00, 0xaa, 0x00, 0x38, 0x9b, 0x71]

export interface WavShape {
  /** Hz. */
  readonly sampleRate: number
  readonly channels: number
  readonly bitsPerSample: number
}

/**
 * The 44-byte header of a WAV, by default of PCM: see `WavInfo.formatTag`. Without `dataBytes`, or with more than 4 GiB, its
 * sizes are "unknown".
 */
export const wavHeader = (
  wav: WavShape & { readonly dataBytes?: number },
  formatTag = FORMAT_PCM,
): Uint8Array => {
  const blockAlign = (wav.channels * wav.bitsPerSample) / 8
  const known = wav.dataBytes !== undefined && wav.dataBytes <= UNKNOWN_SIZE - WAV_HEADER_BYTES
  const dataBytes = known && wav.dataBytes !== undefined ? wav.dataBytes : UNKNOWN_SIZE
  const header = new Uint8Array(WAV_HEADER_BYTES)
  const view = new DataView(header.buffer)
  const text = (at: number, value: string) => header.set(new TextEncoder().encode(value), at)
  text(0, "RIFF")
  view.setUint32(4, known ? dataBytes + WAV_HEADER_BYTES - 8 : UNKNOWN_SIZE, true)
  text(8, "WAVEfmt ")
  view.setUint32(16, 16, true)
  view.setUint16(20, formatTag, true)
  view.setUint16(22, wav.channels, true)
  view.setUint32(24, wav.sampleRate, true)
  view.setUint32(28, wav.sampleRate * blockAlign, true)
  view.setUint16(32, blockAlign, true)
  view.setUint16(34, wav.bitsPerSample, true)
  text(36, "data")
  view.setUint32(40, dataBytes, true)
  return header
}

export interface WavInfo extends WavShape {
  /** 1 is PCM, 3 float, 6 A-law, 7 µ-law. For WAVE_FORMAT_EXTENSIBLE, the tag of its sub-format. */
  readonly formatTag: number
  /** Where the samples start, in bytes from the start of the file. */
  readonly dataOffset: number
  /** Size of the samples, in whole blocks, up to the end of the file. */
  readonly dataBytes: number
  /** Bytes of one sample of every channel. */
  readonly blockAlign: number
  /** False if the header gives no size, so that the samples extend to the end of the file. */
  readonly hasSize: boolean
  /** True for RIFX, whose sizes and samples are big-endian. */
  readonly isBigEndian: boolean
}

/**
 * not-wav: no RIFF/WAVE at the start. rf64: RF64 or BW64, with 64-bit sizes. truncated: the bytes end before the samples
 * start. no-format: the samples precede the format. bad-format: a field of the format is 0, or it is too short.
 */
export type WavProblem = "not-wav" | "rf64" | "truncated" | "no-format" | "bad-format"

type Format = Omit<WavInfo, "dataOffset" | "dataBytes" | "hasSize" | "isBigEndian">

const readFormat = (view: DataView, at: number, size: number, little: boolean): Format | undefined => {
  if (size < 16) return undefined
  const tag = view.getUint16(at, little)
  const plain = SUBFORMAT_TAIL.every((byte, i) => size >= 40 && view.getUint8(at + 28 + i) === byte)
  const format = {
    formatTag: tag === FORMAT_EXTENSIBLE && plain ? view.getUint16(at + 24, little) : tag,
    channels: view.getUint16(at + 2, little),
    sampleRate: view.getUint32(at + 4, little),
    blockAlign: view.getUint16(at + 12, little),
    bitsPerSample: view.getUint16(at + 14, little),
  }
  return format.channels > 0 && format.sampleRate > 0 && format.blockAlign > 0 ? format : undefined
}

interface Chunk {
  /** Four characters. */
  readonly id: string
  /** Bytes after the chunk's header. */
  readonly size: number
}

const CHUNK_HEADER_BYTES = 8

/** The header of the chunk at `at`: an id and a size. Undefined if the bytes end before that. */
export const chunkAt = (bytes: Uint8Array, at: number, little = true): Chunk | undefined => {
  if (at + CHUNK_HEADER_BYTES > bytes.length) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, CHUNK_HEADER_BYTES)
  return { id: String.fromCharCode(...bytes.subarray(at, at + 4)), size: view.getUint32(4, little) }
}

/**
 * Reads the header of a WAV. `bytes` is the file or its start, and `fileBytes` the size of the file. Chunks before the samples
 * (LIST, JUNK, bext) are skipped, and empty chunks of samples before the one that has them. A data size of 0, of 0xffffffff or
 * beyond the end of the file means "to the end of the file": a program that writes to a pipe cannot fill it in.
 */
export const parseWav = (bytes: Uint8Array, fileBytes = bytes.length): Either.Either<WavInfo, WavProblem> => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const id = (at: number) => String.fromCharCode(...bytes.subarray(at, at + 4))
  if (bytes.length < 12) return Either.left("RIFF".startsWith(id(0)) ? "truncated" : "not-wav")
  if (id(8) !== "WAVE") return Either.left("not-wav")
  if (id(0) === "RF64" || id(0) === "BW64") return Either.left("rf64")
  if (id(0) !== "RIFF" && id(0) !== "RIFX") return Either.left("not-wav")
  const little = id(0) === "RIFF"
  const next = (at: number) => chunkAt(bytes, at, little)
  let format: Format | undefined
  // Terminates: each round advances by at least the 8 bytes of a chunk's header.
  for (let at = 12, chunk = next(at); chunk !== undefined; chunk = next(at)) {
    const { size } = chunk
    const start = at + CHUNK_HEADER_BYTES
    // A program may write chunks of samples before it has any.
    const behind = chunk.id === "data" && size === 0 ? afterEmptyData(bytes, start, little) : start
    const following = next(behind)
    if (behind > start && following === undefined && bytes.length < fileBytes) return Either.left("truncated")
    if (chunk.id === "data" && size === 0 && following?.id === "data") {
      at = behind
      continue
    }
    if (chunk.id === "data") {
      if (format === undefined) return Either.left("no-format")
      const there = Math.max(0, fileBytes - start)
      const hasSize = size > 0 && size <= there
      const dataBytes = hasSize ? size : there
      const whole = dataBytes - (dataBytes % format.blockAlign)
      return Either.right({ ...format, dataOffset: start, dataBytes: whole, hasSize, isBigEndian: !little })
    }
    if (chunk.id === "fmt ") {
      if (start + Math.min(size, 16) > bytes.length) return Either.left("truncated")
      format = readFormat(view, start, Math.min(size, bytes.length - start), little)
      if (format === undefined) return Either.left("bad-format")
    }
    at = start + size + padBytes(bytes, start, size)
  }
  return Either.left("truncated")
}

/** Where the chunks of samples without a size end that start at `from`: at another chunk, or where the bytes end. */
const afterEmptyData = (bytes: Uint8Array, from: number, little: boolean) => {
  let at = from
  for (let chunk = chunkAt(bytes, at, little); chunk?.id === "data" && chunk.size === 0; ) {
    at += CHUNK_HEADER_BYTES
    chunk = chunkAt(bytes, at, little)
  }
  return at
}

/** A chunk of odd size has a pad byte. Some programs omit it: the samples then follow at once. */
const padBytes = (bytes: Uint8Array, start: number, size: number) => {
  if (size % 2 === 0) return 0
  const next = chunkAt(bytes, start + size)?.id
  return next === "data" || next === "fmt " ? 0 : 1
}

/** Without an object for each place: the tail of a recording has 32,000 places, and nearly none is printable. */
const isPrintableId = (bytes: Uint8Array, at: number) => {
  for (let i = at; i < at + 4; i++) {
    const byte = bytes[i] ?? 0
    if (byte < 0x20 || byte > 0x7e) return false
  }
  return true
}

/**
 * Where the chunks start that fill `tail`, the last bytes of a WAV, up to its exact end; undefined if it ends with
 * samples. In samples, an id and a size that fit the end do not occur by chance.
 */
export const trailingChunksAt = (tail: Uint8Array, little = true): number | undefined => {
  for (let at = 0; at + CHUNK_HEADER_BYTES <= tail.length; at += 2) {
    if (isPrintableId(tail, at) && areChunksToEnd(tail, at, little)) return at
  }
  return undefined
}

const areChunksToEnd = (tail: Uint8Array, from: number, little: boolean): boolean => {
  let at = from
  for (let chunk = chunkAt(tail, at, little); chunk !== undefined; chunk = chunkAt(tail, at, little)) {
    if (!isPrintableId(tail, at) || chunk.id === "data") return false
    at += CHUNK_HEADER_BYTES + chunk.size
    if (at === tail.length) return true
    at += chunk.size % 2
  }
  return at === tail.length
}
