/** Signals, and WAV files with them in the variants that recorders write. Needs no ffmpeg. */

/** Mono samples, -1 to 1. */
export type Signal = Float32Array

export const tone = (seconds: number, hz = 440, rate = 16_000): Signal =>
  Float32Array.from(
    { length: Math.round(seconds * rate) },
    (_, i) => 0.5 * Math.sin((2 * Math.PI * hz * i) / rate),
  )

export const silence = (seconds: number, rate = 16_000): Signal =>
  new Float32Array(Math.round(seconds * rate))

/** A voiced buzz around 120 Hz in four syllables a second, with a pause after every sixth: speech to a level meter. */
export const speechLike = (seconds: number, rate = 16_000): Signal =>
  Float32Array.from({ length: Math.round(seconds * rate) }, (_, i) => {
    const at = i / rate
    const pitch = 120 * at + 2 * Math.sin(2 * Math.PI * 0.7 * at) + 2
    const voice = PERIOD[Math.floor((pitch % 1) * PERIOD.length)] ?? 0
    const syllable = Math.sin(Math.PI * 4 * at) ** 2
    return Math.floor(at * 4) % 7 === 6 ? 0 : 0.15 * syllable * voice
  })

/** Roughly the vowel of "father": formants near 700 and 1100 Hz. */
const HARMONICS = [0.3, 0.3, 0.4, 0.6, 0.9, 1, 0.7, 0.5, 0.8, 0.6, 0.3, 0.2]

/** One period of the buzz. */
const PERIOD = Float32Array.from({ length: 4096 }, (_, i) =>
  HARMONICS.reduce((sum, weight, n) => sum + weight * Math.sin((2 * Math.PI * (n + 1) * i) / 4096), 0),
)

export interface WavShape {
  readonly rate?: number
  /** Every channel has the same signal. */
  readonly channels?: number
  readonly encoding?: "s16" | "s24" | "f32"
  /** WAVE_FORMAT_EXTENSIBLE, as Windows writes it for more than 16 bits. */
  readonly extensible?: boolean
  /** Chunks before `data`. */
  readonly before?: readonly Chunk[]
  /** The sizes in the header. Default: the true ones. */
  readonly sizes?: "true" | "unknown" | "zero" | { readonly data: number }
}

export interface Chunk {
  /** Four characters. */
  readonly id: string
  readonly bytes: Uint8Array
}

const BYTES = { s16: 2, s24: 3, f32: 4 } as const

/** A WAV file of this signal. An odd chunk gets its pad byte. */
export const wavOf = (signal: Signal, shape: WavShape = {}): Uint8Array => {
  const {
    rate = 16_000,
    channels = 1,
    encoding = "s16",
    extensible = false,
    before = [],
    sizes = "true",
  } = shape
  const data = samplesOf(signal, channels, encoding)
  const chunks = [{ id: "fmt ", bytes: formatOf(rate, channels, encoding, extensible) }, ...before]
  const head = Buffer.concat(chunks.map((chunk) => chunkOf(chunk)))
  const dataSize =
    sizes === "true" ? data.length : sizes === "unknown" ? UNKNOWN : sizes === "zero" ? 0 : sizes.data
  const riffSize = sizes === "unknown" ? UNKNOWN : sizes === "zero" ? 0 : 4 + head.length + 8 + dataSize
  const riff = Buffer.concat([Buffer.from("RIFF"), uint32(riffSize), Buffer.from("WAVE")])
  return Buffer.concat([riff, head, chunkOf({ id: "data", bytes: data }, dataSize)])
}

const UNKNOWN = 0xffff_ffff

const uint32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value >>> 0)
  return bytes
}

const chunkOf = ({ id, bytes }: Chunk, size = bytes.length) =>
  Buffer.concat([Buffer.from(id, "latin1"), uint32(size), bytes, Buffer.alloc(bytes.length % 2)])

const formatOf = (rate: number, channels: number, encoding: "s16" | "s24" | "f32", extensible: boolean) => {
  const bytes = Buffer.alloc(extensible ? 40 : 16)
  const tag = encoding === "f32" ? 3 : 1
  const width = BYTES[encoding]
  bytes.writeUInt16LE(extensible ? 0xfffe : tag, 0)
  bytes.writeUInt16LE(channels, 2)
  bytes.writeUInt32LE(rate, 4)
  bytes.writeUInt32LE(rate * channels * width, 8)
  bytes.writeUInt16LE(channels * width, 12)
  bytes.writeUInt16LE(width * 8, 14)
  if (extensible) {
    bytes.writeUInt16LE(22, 16)
    bytes.writeUInt16LE(width * 8, 18)
    bytes.writeUInt32LE(channels === 1 ? 4 : 3, 20)
    bytes.writeUInt16LE(tag, 24)
    bytes.write("000000001000800000aa00389b71", 26, "hex")
  }
  return bytes
}

const samplesOf = (signal: Signal, channels: number, encoding: "s16" | "s24" | "f32") => {
  const width = BYTES[encoding]
  const bytes = Buffer.alloc(signal.length * channels * width)
  let at = 0
  for (const sample of signal) {
    for (let channel = 0; channel < channels; channel++) {
      if (encoding === "f32") bytes.writeFloatLE(sample, at)
      else bytes.writeIntLE(Math.round(sample * (2 ** (8 * width - 1) - 1)), at, width)
      at += width
    }
  }
  return bytes
}
