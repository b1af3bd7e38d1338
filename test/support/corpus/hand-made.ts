/** What files made by hand have in common. */

/** What nobody may come for: an address that is listened on, and a file that is full of one letter. */
export interface Lures {
  /** `http://127.0.0.1:PORT`, without a slash at its end. */
  readonly url: string
  /** Absolute. */
  readonly file: string
}

export type Make = (lures: Lures) => Uint8Array | Promise<Uint8Array>
export type HandMade = Readonly<Record<string, Make>>

export const text = (value: string) => Buffer.from(value, "latin1")
export const u8 = (...values: ReadonlyArray<number>) => Buffer.from(values)
export const be = (bytes: number, value: number | bigint) => {
  const field = Buffer.alloc(8)
  field.writeBigUInt64BE(BigInt.asUintN(64, BigInt(value)))
  return field.subarray(8 - bytes)
}
export const le = (bytes: number, value: number | bigint) => Buffer.from(be(bytes, value)).reverse()
export const join = (...parts: ReadonlyArray<Uint8Array>) => Buffer.concat(parts)
export const times = (count: number, part: Uint8Array) => Buffer.concat(Array<Uint8Array>(count).fill(part))
export const nested = (depth: number, wrap: (inner: Buffer) => Buffer, inner: Buffer = u8()): Buffer => {
  let made: Buffer = inner
  for (let n = 0; n < depth; n++) made = wrap(made)
  return made
}

/** The same kind of file for each of several values: `name value`. */
export const each = <A>(
  name: string,
  values: ReadonlyArray<A>,
  make: (value: A, lures: Lures) => Uint8Array,
): HandMade =>
  Object.fromEntries(
    values.map((value) => [`${name} ${value}`, (lures: Lures) => make(value, lures)] as const),
  )
