/** Tarballs with entries that npm would never write. */

interface Entry {
  readonly name: string
  readonly bytes?: Uint8Array
  /** As tar has it: 0 file, 1 hard link, 2 symbolic link, 5 folder. */
  readonly type?: string
  /** The target of a link. */
  readonly link?: string
}

const block = 512
const text = new TextEncoder()

const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits, "0")}\0`

const header = ({ name, bytes = new Uint8Array(), type = "0", link = "" }: Entry): Uint8Array => {
  const fields = new Uint8Array(block)
  const put = (value: string, at: number) => fields.set(text.encode(value), at)
  put(name, 0)
  put(octal(0o644, 7), 100)
  put(octal(bytes.length, 11), 124)
  put(octal(0, 11), 136)
  // The checksum is of the header with blanks in its place.
  put(" ".repeat(8), 148)
  put(type, 156)
  put(link, 157)
  put("ustar\x0000", 257)
  put(
    `${octal(
      fields.reduce((sum, byte) => sum + byte, 0),
      6,
    )} `,
    148,
  )
  return fields
}

/** A tarball (.tgz) with these entries, in this order. */
export const tarballOf = (entries: ReadonlyArray<Entry>): Uint8Array => {
  const parts = entries.flatMap((entry) => {
    const bytes = entry.bytes ?? new Uint8Array()
    return [header(entry), bytes, new Uint8Array((block - (bytes.length % block)) % block)]
  })
  return Bun.gzipSync(Buffer.concat([...parts, new Uint8Array(2 * block)]))
}
