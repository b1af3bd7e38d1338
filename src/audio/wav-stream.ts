import { Either } from "effect"
import { chunkAt, parseWav, type WavInfo } from "./wav.ts"

/** The most that may precede the samples of a WAV, in bytes. */
const MAX_HEADER_BYTES = 64 * 1024
/** Programs that write to a pipe fill the size with 0xffffffff, 0x7fffffff or a little less. */
const UNKNOWN_FROM = 0x7fff_0000
const CHUNK_BYTES = 8
/** The most of a chunk behind the samples. With a larger "size" they are samples. */
const MAX_CHUNK_BYTES = 16 * 1024 * 1024

const nothing = new Uint8Array(0)

const sizeOf = ({ dataBytes }: WavInfo) => (dataBytes >= UNKNOWN_FROM ? Number.POSITIVE_INFINITY : dataBytes)

/**
 * Takes the samples out of a WAV that arrives in pieces. `first` is the header that starts it. A server that sends a WAV for
 * each sentence repeats the header: it is left out, if it has the same format. Where the header's size ends, chunks may follow,
 * which are left out; what is no chunk are samples, because the size is false.
 */
export const makeWavStream = (first: WavInfo) => {
  let carry: Uint8Array = nothing
  /** Bytes before the next samples. */
  let skip = first.dataOffset
  /** Samples up to the end that the header gives, in bytes. */
  let left = sizeOf(first)
  let hasOther = false

  /** The header at the start of `data`; undefined if there are too few bytes to tell. */
  const headerIn = (data: Uint8Array, isWhole: boolean): WavInfo | "none" | "other" | undefined => {
    const wav = parseWav(data, Number.MAX_SAFE_INTEGER)
    if (Either.isLeft(wav)) {
      const mayFollow = wav.left === "truncated" && !isWhole && data.length < MAX_HEADER_BYTES
      return mayFollow ? undefined : "none"
    }
    const { formatTag, sampleRate, channels, bitsPerSample } = wav.right
    const isSame =
      formatTag === first.formatTag &&
      sampleRate === first.sampleRate &&
      channels === first.channels &&
      bitsPerSample === first.bitsPerSample
    return isSame ? wav.right : "other"
  }

  /** Bytes before the next header or chunk; 0 if samples follow; undefined if there are too few bytes to tell. */
  const bytesToSkip = (data: Uint8Array, isWhole: boolean): number | undefined => {
    if (data.length < CHUNK_BYTES + first.blockAlign) {
      if (!isWhole) return undefined
      if (data.length < CHUNK_BYTES) return data.length
    }
    // Half a block and a pad byte may precede it.
    for (let at = 0; at <= first.blockAlign; at++) {
      const chunk = chunkAt(data, at)
      if (chunk === undefined || !/^[A-Za-z][A-Za-z0-9_]{2}[A-Za-z0-9_ ]$/.test(chunk.id)) continue
      if (chunk.id === "RIFF") return at
      if (chunk.size <= MAX_CHUNK_BYTES) return at + CHUNK_BYTES + chunk.size + (chunk.size % 2)
    }
    return 0
  }

  const isRiff = (data: Uint8Array) =>
    Buffer.from(data.buffer, data.byteOffset, Math.min(4, data.length)).toString("latin1") === "RIFF"

  const take = (chunk: Uint8Array, isWhole: boolean): Uint8Array => {
    let data = carry.length === 0 ? chunk : Buffer.concat([carry, chunk])
    carry = nothing
    const samples: Array<Uint8Array> = []
    const use = (bytes: number) => {
      samples.push(data.subarray(0, bytes))
      data = data.subarray(bytes)
    }
    // Terminates: each round takes bytes from `data`, or ends.
    while (data.length > 0) {
      if (skip > 0) {
        const skipped = Math.min(skip, data.length)
        skip -= skipped
        data = data.subarray(skipped)
        continue
      }
      if (left > 0 && left !== Number.POSITIVE_INFINITY) {
        const taken = Math.min(left, data.length)
        left -= taken
        use(taken)
        continue
      }
      if (isRiff(data)) {
        const header = headerIn(data, isWhole)
        if (header === undefined) break
        if (header === "none") {
          left = Number.POSITIVE_INFINITY
          use(4)
        } else if (header === "other") {
          hasOther = true
          skip = Number.POSITIVE_INFINITY
        } else {
          skip = header.dataOffset
          left = sizeOf(header)
        }
        continue
      }
      if (left === 0) {
        const bytes = bytesToSkip(data, isWhole)
        if (bytes === undefined) break
        skip = bytes
        if (bytes === 0) left = Number.POSITIVE_INFINITY
        continue
      }
      const next = Buffer.from(data.buffer, data.byteOffset, data.length).indexOf("RIFF", 0, "latin1")
      const end = next >= 0 ? next : isWhole ? data.length : Math.max(0, data.length - 3)
      if (end === 0) break
      use(end)
    }
    carry = data.slice()
    return samples.length === 1 ? (samples[0] ?? nothing) : Buffer.concat(samples)
  }

  return {
    /** The samples of the next piece. */
    push: (chunk: Uint8Array): Uint8Array => take(chunk, false),
    /** The samples that only the end confirms. */
    end: (): Uint8Array => take(nothing, true),
    /** Whether a WAV of another format followed. Its samples are left out. */
    changesFormat: () => hasOther,
  }
}
