/** What recordings are made of: the places at which to break them. */

/** A chunk, box, element, page, block or frame. */
export interface Part {
  /** Where it begins, header included, and ends. */
  readonly at: number
  readonly end: number
  /** The field that says how long it is, or what comes nearest to it. */
  readonly sizeAt: number
  readonly sizeBytes: number
}

/** So many of one recording are enough. */
const most = 2000

/** Of WAV: chunks (little-endian sizes, padded to even). */
const riff = (bytes: Buffer): Array<Part> => {
  const parts: Array<Part> = []
  for (let at = 12; at + 8 <= bytes.length && parts.length < most; ) {
    const size = bytes.readUInt32LE(at + 4)
    const end = Math.min(bytes.length, at + 8 + size + (size % 2))
    parts.push({ at, end, sizeAt: at + 4, sizeBytes: 4 })
    at = end
  }
  return parts
}

const mp4Containers = new Set([
  "moov",
  "trak",
  "mdia",
  "minf",
  "stbl",
  "udta",
  "mvex",
  "moof",
  "traf",
  "edts",
  "dinf",
])

/** Of MP4: boxes, those in boxes as well. */
const mp4 = (bytes: Buffer, from = 0, to = bytes.length): Array<Part> => {
  const parts: Array<Part> = []
  for (let at = from; at + 8 <= to && parts.length < most; ) {
    const size = bytes.readUInt32BE(at)
    if (size < 8) break
    const end = Math.min(to, at + size)
    parts.push({ at, end, sizeAt: at, sizeBytes: 4 })
    if (mp4Containers.has(bytes.toString("latin1", at + 4, at + 8))) parts.push(...mp4(bytes, at + 8, end))
    at = end
  }
  return parts
}

/** EBML, Segment, SeekHead, Info, Tracks, TrackEntry, Audio, Cluster, BlockGroup, Cues, Tags, Tag, Chapters … */
const masters = new Set([
  0x1a45dfa3, 0x18538067, 0x114d9b74, 0x1549a966, 0x1654ae6b, 0xae, 0xe1, 0x1f43b675, 0xa0, 0x1c53bb6b,
  0x1254c367, 0x7373, 0x1043a770, 0x45b9, 0xb6, 0x1941a469, 0x61a7,
])

/** How many bytes a number takes that begins with this one (RFC 8794). */
const width = (first: number) => Math.clz32(first) - 23

/** Of WebM: elements, those in elements as well. Of unknown size is what goes on to the end of what it is in. */
const ebml = (bytes: Buffer, from = 0, to = bytes.length): Array<Part> => {
  const parts: Array<Part> = []
  for (let at = from; at + 2 <= to && parts.length < most; ) {
    const idBytes = width(bytes.readUInt8(at))
    const sizeAt = at + idBytes
    if (idBytes > 4 || sizeAt >= to) break
    const sizeBytes = width(bytes.readUInt8(sizeAt))
    const start = sizeAt + sizeBytes
    if (sizeBytes > 8 || start > to) break
    const raw = bytes.subarray(sizeAt, start).reduce((sum, byte) => sum * 256 + byte, 0)
    const size = raw - 2 ** (7 * sizeBytes)
    const end = size === 2 ** (7 * sizeBytes) - 1 ? to : Math.min(to, start + size)
    parts.push({ at, end, sizeAt, sizeBytes })
    if (masters.has(bytes.readUIntBE(at, idBytes))) parts.push(...ebml(bytes, start, end))
    at = end
  }
  return parts
}

/** Of OGG: pages. Their sizes are those of their segments, up to 255. */
const ogg = (bytes: Buffer): Array<Part> => {
  const parts: Array<Part> = []
  for (let at = 0; at >= 0 && at + 27 <= bytes.length && parts.length < most; ) {
    const next = bytes.indexOf("OggS", at + 4)
    const end = next < 0 ? bytes.length : next
    parts.push({ at, end, sizeAt: at + 26, sizeBytes: Math.min(4, end - at - 26) })
    at = next
  }
  return parts
}

/** Of FLAC: metadata blocks, and then all sound. */
const flac = (bytes: Buffer): Array<Part> => {
  const parts: Array<Part> = []
  for (let at = 4; at + 4 <= bytes.length; ) {
    const isLast = bytes.readUInt8(at) >= 0x80
    const end = Math.min(bytes.length, at + 4 + bytes.readUIntBE(at + 1, 3))
    parts.push({ at, end, sizeAt: at + 1, sizeBytes: 3 })
    at = end
    if (isLast && at + 8 < bytes.length) {
      parts.push({ at, end: bytes.length, sizeAt: at + 2, sizeBytes: 2 })
      break
    }
  }
  return parts
}

/** Of MP3: its tag, and whatever begins as a frame does. */
const mp3 = (bytes: Buffer): Array<Part> => {
  const starts: Array<number> = []
  for (let at = bytes.indexOf(0xff); at >= 0 && starts.length < most; at = bytes.indexOf(0xff, at + 1)) {
    if ((bytes[at + 1] ?? 0) >= 0xe0) starts.push(at)
  }
  const frames = starts.map((at, n) => ({
    at,
    end: starts[n + 1] ?? bytes.length,
    sizeAt: at,
    sizeBytes: 4,
  }))
  const tag = { at: 0, end: starts[0] ?? bytes.length, sizeAt: 6, sizeBytes: 4 }
  return bytes.toString("latin1", 0, 3) === "ID3" ? [tag, ...frames] : frames
}

/** All parts of a recording of any of the six kinds; of anything else the whole of it. */
export const partsOf = (bytes: Buffer): ReadonlyArray<Part> => {
  const magic = bytes.toString("latin1", 0, 4)
  const parts =
    magic === "RIFF" || magic === "RF64"
      ? riff(bytes)
      : magic === "OggS"
        ? ogg(bytes)
        : magic === "fLaC"
          ? flac(bytes)
          : magic === "\x1a\x45\xdf\xa3"
            ? ebml(bytes)
            : bytes.toString("latin1", 4, 8) === "ftyp"
              ? mp4(bytes)
              : mp3(bytes)
  return parts.length > 0 ? parts : [{ at: 0, end: bytes.length, sizeAt: 0, sizeBytes: 4 }]
}
