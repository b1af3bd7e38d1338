/**
 * Whether an MP4 can be read from its beginning to its end: its index (`moov`, with which a fragmented one begins as
 * well) comes before its sound (`mdat`). `head` is the file's beginning; false where it shows neither. A box is 4 bytes
 * of size, itself included, and 4 of kind (ISO 14496-12, 4.2); sizes of 0 (to the end of the file) and 1 (64 bits follow)
 * are for boxes larger than any that stands before these two.
 */
export const indexIsFirst = (head: Uint8Array): boolean => {
  const bytes = Buffer.from(head.buffer, head.byteOffset, head.byteLength)
  // Every round moves on by the 8 bytes of a box's header at least.
  for (let at = 0; at + 8 <= bytes.length; ) {
    const kind = bytes.toString("latin1", at + 4, at + 8)
    if (kind === "moov" || kind === "mdat") return kind === "moov"
    const size = bytes.readUInt32BE(at)
    if (size < 8) return false
    at += size
  }
  return false
}
