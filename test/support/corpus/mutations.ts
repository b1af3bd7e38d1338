/** Ways in which a recording is broken, by accident or on purpose. */
import { type Part, partsOf } from "./parts.ts"
import type { Random } from "./random.ts"

interface Patient {
  readonly bytes: Buffer
  readonly parts: ReadonlyArray<Part>
  /** Another recording, of whatever kind. */
  readonly other: Buffer
  readonly random: Random
}

/** No file gets larger than that by being broken. */
const mostBytes = 2 * 1024 ** 2

const withBytes = (bytes: Buffer, change: (copy: Buffer) => void): Buffer => {
  const copy = Buffer.from(bytes)
  change(copy)
  return copy
}

const flip = (bytes: Buffer, random: Random, bits: number, from: number, to: number) =>
  withBytes(bytes, (copy) => {
    for (let n = 0; n < bits; n++) {
      const at = from + random.int(Math.max(1, Math.min(to, copy.length) - from))
      copy[at] = (copy[at] ?? 0) ^ (1 << random.int(8))
    }
  })

/** Numbers at which programs err: none, one, the largest, the sign, and what is near them. */
const strange = [
  0, 1, 2, 7, 8, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff,
]

const numberIn = (bytes: number, value: number, isLittle: boolean) => {
  const field = Buffer.alloc(bytes)
  for (let at = 0; at < bytes; at++) {
    field[isLittle ? at : bytes - 1 - at] = Math.floor(value / 256 ** at) % 256
  }
  return field
}

const isRiff = (bytes: Buffer) => bytes.toString("latin1", 0, 1) === "R"

const replaced = (bytes: Buffer, { at, end }: Pick<Part, "at" | "end">, ...by: ReadonlyArray<Uint8Array>) =>
  Buffer.concat([bytes.subarray(0, at), ...by, bytes.subarray(end)])

const headers = (parts: ReadonlyArray<Part>, random: Random) => {
  const { at, end } = random.pick(parts)
  return { from: at, to: Math.min(end, at + 32) }
}

export const mutations = {
  cutAtAPart: ({ bytes, parts, random }) => bytes.subarray(0, random.pick(parts).at),
  cutInAHeader: ({ bytes, parts, random }) => bytes.subarray(0, random.pick(parts).sizeAt + random.int(5)),
  cutAnywhere: ({ bytes, random }) => bytes.subarray(0, random.int(bytes.length)),
  beginningLost: ({ bytes, parts, random }) => bytes.subarray(random.pick(parts).at),
  bitOfAHeader: ({ bytes, parts, random }) => {
    const { from, to } = headers(parts, random)
    return flip(bytes, random, 1 + random.int(3), from, to)
  },
  bitsOfTheBody: ({ bytes, random }) => flip(bytes, random, 1 + random.int(200), 0, bytes.length),
  bitsOfTheBeginning: ({ bytes, random }) => flip(bytes, random, 1 + random.int(8), 4, 512),
  sizeThatLies: ({ bytes, parts, random }) =>
    withBytes(bytes, (copy) => {
      const { sizeAt, sizeBytes } = random.pick(parts)
      copy.set(
        numberIn(sizeBytes, random.pick(strange), isRiff(bytes)).subarray(0, copy.length - sizeAt),
        sizeAt,
      )
    }),
  numbersThatLie: ({ bytes, parts, random }) =>
    withBytes(bytes, (copy) => {
      for (let n = 0; n <= random.int(4); n++) {
        const { at, end } = random.pick(parts)
        const field = numberIn(random.pick([1, 2, 4, 8]), random.pick(strange), isRiff(bytes))
        const to = at + random.int(Math.min(end - at, 64))
        copy.set(field.subarray(0, copy.length - to), to)
      }
    }),
  partLost: ({ bytes, parts, random }) => replaced(bytes, random.pick(parts)),
  partManyTimes: ({ bytes, parts, random }) => {
    const part = random.pick(parts)
    const content = bytes.subarray(part.at, part.end)
    const times = Math.min(1 + random.int(3000), Math.floor(mostBytes / (content.length + 1)))
    return replaced(bytes, { at: part.at, end: part.at }, ...Array(times).fill(content))
  },
  partElsewhere: ({ bytes, parts, random }) => {
    const { at, end } = random.pick(parts)
    const to = random.pick(parts).at
    return replaced(bytes, { at: to, end: to }, bytes.subarray(at, end))
  },
  partInItself: ({ bytes, parts, random }) => {
    const part = random.pick(parts)
    const start = part.sizeAt + part.sizeBytes
    const content = bytes.subarray(part.at, Math.min(part.end, part.at + 4096))
    return replaced(bytes, { at: start, end: start }, ...Array(1 + random.int(200)).fill(content))
  },
  noiseWithin: ({ bytes, parts, random }) => {
    const { at } = random.pick(parts)
    return replaced(bytes, { at, end: at }, random.bytes(1 + random.int(5000)))
  },
  noiseInstead: ({ bytes, random }) => {
    const at = random.int(bytes.length)
    const noise = random.bytes(1 + random.int(2000))
    return replaced(bytes, { at, end: at + noise.length }, noise)
  },
  nothingInstead: ({ bytes, parts, random }) => {
    const part = random.pick(parts)
    const start = Math.min(part.end, part.sizeAt + part.sizeBytes)
    return withBytes(bytes, (copy) => copy.fill(0, start, part.end))
  },
  anotherBehind: ({ bytes, other }) => Buffer.concat([bytes, other]),
  anothersEnd: ({ bytes, parts, other, random }) =>
    Buffer.concat([bytes.subarray(0, random.pick(parts).at), other.subarray(random.int(other.length))]),
  anothersPart: ({ bytes, parts, other, random }) => {
    const { at, end } = random.pick(partsOf(other))
    const to = random.pick(parts).at
    return replaced(bytes, { at: to, end: to }, other.subarray(at, end))
  },
} satisfies Record<string, (patient: Patient) => Uint8Array>

export type Mutation = keyof typeof mutations
