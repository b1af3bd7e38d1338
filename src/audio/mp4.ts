/**
 * Whether an MP4 can be read from start to end: its index (`moov`) precedes its samples (`mdat`), as in every fragmented
 * MP4. `head` is the start of the file; false if it contains neither. A box has 4 bytes of size, header included, and 4
 * of kind (ISO 14496-12, 4.2). Sizes of 0 (to the end of the file) and 1 (a 64-bit size follows) are for boxes larger
 * than any that precedes these two.
 */
export const indexIsFirst = (head: Uint8Array): boolean => {
  const bytes = Buffer.from(head.buffer, head.byteOffset, head.byteLength)
  // Terminates: each round advances by at least the 8 bytes of a box's header.
  for (let at = 0; at + 8 <= bytes.length; ) {
    const kind = bytes.toString("latin1", at + 4, at + 8)
    if (kind === "moov" || kind === "mdat") return kind === "moov"
    const size = bytes.readUInt32BE(at)
    if (size < 8) return false
    at += size
  }
  return false
}

interface Box {
  readonly kind: string
  readonly at: number
  readonly end: number
}

/** The boxes between two positions. Ends at one that reaches beyond `to`. */
const boxesIn = (bytes: Buffer, from: number, to: number): ReadonlyArray<Box> => {
  const boxes: Array<Box> = []
  for (let at = from; at + 8 <= to; ) {
    const declared = bytes.readUInt32BE(at)
    const size = declared === 0 ? to - at : declared
    if (size < 8 || at + size > to) break
    boxes.push({ kind: bytes.toString("latin1", at + 4, at + 8), at, end: at + size })
    at += size
  }
  return boxes
}

/** The boxes that lead from `moov` to the tables of offsets (ISO 14496-12, 8.7.5). */
const CONTAINERS = ["trak", "mdia", "minf", "stbl"]

/** Adds `shift` to the offsets of all samples in an index. */
const shiftOffsets = (index: Buffer, from: number, to: number, shift: number): void => {
  for (const { kind, at, end } of boxesIn(index, from, to)) {
    if (CONTAINERS.includes(kind)) shiftOffsets(index, at + 8, end, shift)
    if (kind !== "stco" || at + 16 > end) continue
    const last = Math.min(end, at + 16 + 4 * index.readUInt32BE(at + 12)) - 4
    for (let entry = at + 16; entry <= last; entry += 4) {
      index.writeUInt32BE((index.readUInt32BE(entry) + shift) >>> 0, entry)
    }
  }
}

/**
 * The same MP4 with its index before its samples, so that it can be read from a pipe. Returns `file` as it is if the index
 * is first, or missing. The tables have 32-bit offsets (`stco`); a 64-bit one (`co64`) is for files over 4 GiB.
 */
export const withIndexFirst = (file: Uint8Array): Uint8Array => {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength)
  const boxes = boxesIn(bytes, 0, bytes.length)
  const index = boxes.find(({ kind }) => kind === "moov")
  const samples = boxes.find(({ kind }) => kind === "mdat")
  if (index === undefined || samples === undefined || index.at < samples.at) return file
  const moved = Buffer.from(bytes.subarray(index.at, index.end))
  shiftOffsets(moved, 8, moved.length, moved.length)
  return Buffer.concat([
    bytes.subarray(0, samples.at),
    moved,
    bytes.subarray(samples.at, index.at),
    bytes.subarray(index.end),
  ])
}
