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
