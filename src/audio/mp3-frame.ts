/** The parts of an MPEG audio Layer III frame that joining needs (ISO 11172-3 section 2.4, ISO 13818-3). */

export const HEADER_BYTES = 4

/** kbit/s by the header's 4-bit index. 0 marks the free format and the forbidden index, which are not supported. */
const BITRATES_1 = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0]
const BITRATES_2 = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0]
/** Hz of MPEG-1 by the header's 2-bit index. MPEG-2 has half of it, MPEG-2.5 a quarter. */
const SAMPLE_RATES = [44100, 48000, 32000, 0]

export interface Mp3Format {
  readonly version: "1" | "2" | "2.5"
  /** Hz. */
  readonly sampleRate: number
  readonly channels: 1 | 2
}

export interface Mp3Frame extends Mp3Format {
  /** Size of the frame, header included. */
  readonly bytes: number
  /** Samples per channel. */
  readonly samples: 576 | 1152
  /** Offset of the side information in the frame: 4, or 6 after a checksum. */
  readonly sideInfoAt: number
  readonly sideInfoBytes: number
}

export const sameFormat = (a: Mp3Format, b: Mp3Format): boolean =>
  a.sampleRate === b.sampleRate && a.channels === b.channels && a.version === b.version

/** The frame whose header is at `at`; undefined if there is no valid header. */
export const frameAt = (data: Uint8Array, at: number): Mp3Frame | undefined => {
  const [b0 = 0, b1 = 0, b2 = 0, b3 = 0] = [data[at], data[at + 1], data[at + 2], data[at + 3]]
  if (at + HEADER_BYTES > data.length || b0 !== 0xff || (b1 & 0xe0) !== 0xe0) return undefined
  const versionBits = (b1 >> 3) & 3
  const isLayer3 = ((b1 >> 1) & 3) === 1
  if (versionBits === 1 || !isLayer3 || (b3 & 3) === 2) return undefined
  const mpeg1 = versionBits === 3
  const bitrate = (mpeg1 ? BITRATES_1 : BITRATES_2)[b2 >> 4] ?? 0
  const baseRate = SAMPLE_RATES[(b2 >> 2) & 3] ?? 0
  if (bitrate === 0 || baseRate === 0) return undefined
  const sampleRate = mpeg1 ? baseRate : versionBits === 2 ? baseRate / 2 : baseRate / 4
  const samples = mpeg1 ? 1152 : 576
  const channels = b3 >> 6 === 3 ? 1 : 2
  const sideInfoBytes = mpeg1 ? (channels === 1 ? 17 : 32) : channels === 1 ? 9 : 17
  const sideInfoAt = (b1 & 1) === 0 ? HEADER_BYTES + 2 : HEADER_BYTES
  const bytes = Math.floor(((samples / 8) * bitrate * 1000) / sampleRate) + ((b2 >> 1) & 1)
  if (bytes < sideInfoAt + sideInfoBytes) return undefined
  return {
    version: mpeg1 ? "1" : versionBits === 2 ? "2" : "2.5",
    sampleRate,
    channels,
    bytes,
    samples,
    sideInfoAt,
    sideInfoBytes,
  }
}

/** Bytes of main data in a frame, which later frames may use as their bit reservoir. */
export const mainDataBytes = (frame: Mp3Frame): number => frame.bytes - frame.sideInfoAt - frame.sideInfoBytes

/** How many bytes of earlier main data the frame uses (`main_data_begin`: 9 bits, 8 in MPEG-2). */
export const reservoirBytes = (data: Uint8Array, at: number, frame: Mp3Frame): number => {
  const first = data[at + frame.sideInfoAt] ?? 0
  return frame.version === "1" ? (first << 1) | ((data[at + frame.sideInfoAt + 1] ?? 0) >> 7) : first
}

/**
 * Silences the frame at `at`, in place. With side information of zeros it uses no earlier bytes and decodes to silence;
 * its main data stays for the frames after it. Removes the checksum.
 */
export const silenceFrame = (data: Uint8Array, at: number, frame: Mp3Frame): void => {
  data[at + 1] = (data[at + 1] ?? 0) | 1
  data.fill(0, at + HEADER_BYTES, at + frame.sideInfoAt + frame.sideInfoBytes)
}

const textAt = (data: Uint8Array, at: number, text: string): boolean => {
  for (let i = 0; i < text.length; i++) if (data[at + i] !== text.charCodeAt(i)) return false
  return true
}

/** Whether the frame is an index for players (Xing, Info, VBRI). A second one in a stream gives a wrong duration. */
export const isIndexFrame = (data: Uint8Array, at: number, frame: Mp3Frame): boolean => {
  // Some encoders place the index as if the frame had no checksum.
  for (const sideInfoAt of [HEADER_BYTES, frame.sideInfoAt]) {
    const tag = at + sideInfoAt + frame.sideInfoBytes
    if (tag + 4 <= at + frame.bytes && (textAt(data, tag, "Xing") || textAt(data, tag, "Info"))) return true
  }
  // VBRI is 32 bytes after the header in every format.
  return frame.bytes >= HEADER_BYTES + 36 && textAt(data, at + HEADER_BYTES + 32, "VBRI")
}

const TAGS = [
  { name: "ID3", header: 10 },
  { name: "3DI", header: 10 },
  { name: "TAG", header: 128 },
  { name: "APETAGEX", header: 32 },
] as const

/** Size of the tag at `at`; 0 if there is none; undefined if there are too few bytes to tell. */
export const tagAt = (data: Uint8Array, at: number): number | undefined => {
  for (const { name, header } of TAGS) {
    const there = Math.min(name.length, data.length - at)
    if (!textAt(data, at, name.slice(0, there))) continue
    if (name === "TAG" && there === name.length) return header
    if (data.length - at < header) return undefined
    if (name === "APETAGEX") {
      const view = new DataView(data.buffer, data.byteOffset + at, header)
      const isHeader = (view.getUint32(20, true) & 0x20000000) !== 0
      return header + (isHeader ? view.getUint32(12, true) : 0)
    }
    if (name === "3DI") return header
    const sizes = data.subarray(at + 6, at + 10)
    if (sizes.some((byte) => byte >= 0x80) || data[at + 3] === 0xff) return 0
    const body = sizes.reduce((size, byte) => size * 128 + byte, 0)
    const footer = ((data[at + 5] ?? 0) & 0x10) === 0 ? 0 : 10
    return header + body + footer
  }
  return 0
}
