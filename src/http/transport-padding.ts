const [tab, lineFeed, carriageReturn, space] = [0x09, 0x0a, 0x0d, 0x20]

/**
 * Removes the white space between a boundary and its line end, which a proxy may add (RFC 2046, 5.1.1). The form's
 * parser would take it for the start of a header. Returns a function that takes the body in pieces; all but the bytes
 * after a boundary are passed on without a copy.
 */
export const makePaddingRemover = (boundary: string) => {
  const delimiter = Buffer.from(`\r\n--${boundary}`)
  /** The end of the body so far, in which a delimiter may begin. The first delimiter has no line before it. */
  let tail: Uint8Array = Buffer.from([carriageReturn, lineFeed])
  /** White space after a delimiter that ended with the piece before. Undefined: no delimiter ended there. */
  let padding: Uint8Array | undefined

  /** The position after the next delimiter that ends in `piece` after `from`, or -1. */
  const endOfNext = (piece: Buffer, from: number) => {
    if (from < delimiter.length) {
      const seam = Buffer.concat([tail, piece.subarray(0, delimiter.length - 1)])
      const at = seam.indexOf(delimiter, Math.max(0, tail.length + from - delimiter.length + 1))
      const end = at + delimiter.length - tail.length
      if (at >= 0 && end > from) return end
    }
    const at = piece.indexOf(delimiter, from)
    return at < 0 ? -1 : at + delimiter.length
  }

  return (bytes: Uint8Array): ReadonlyArray<Uint8Array> => {
    const piece = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    const parts: Array<Uint8Array> = []
    let from = 0
    let at = padding === undefined ? endOfNext(piece, 0) : 0
    while (at >= 0) {
      if (at > from) parts.push(piece.subarray(from, at))
      let end = at
      while (piece[end] === space || piece[end] === tab) end += 1
      const spaces = Buffer.concat([padding ?? new Uint8Array(0), piece.subarray(at, end)])
      from = end
      // One is enough to tell white space before anything else from a boundary.
      padding = spaces.subarray(0, 1)
      if (end === piece.length) break
      if (spaces.length > 0 && piece[end] !== carriageReturn) parts.push(padding)
      padding = undefined
      at = endOfNext(piece, from)
    }
    if (from < piece.length) parts.push(piece.subarray(from))
    tail = Buffer.concat([tail, piece.subarray(-delimiter.length)]).subarray(1 - delimiter.length)
    return parts
  }
}
