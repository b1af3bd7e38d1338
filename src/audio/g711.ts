/** G.711 (ITU-T), the 8-bit logarithmic code of telephones: 8 kHz, one byte a sample. */
export type G711 = "pcmu" | "pcma"

/** µ-law works on 14 bits with this offset, in 16-bit units (ITU-T G.191, `ulaw_expand`). */
const muBias = 132

const expandMu = (code: number): number => {
  const bits = ~code & 0xff
  const magnitude = ((((bits & 0x0f) << 3) + muBias) << ((bits >> 4) & 0x07)) - muBias
  return bits & 0x80 ? -magnitude : magnitude
}

/** A-law inverts every second bit on the line. */
const aMask = 0x55

const expandA = (code: number): number => {
  const bits = code ^ aMask
  const segment = (bits >> 4) & 0x07
  const step = (bits & 0x0f) << 4
  const magnitude = segment === 0 ? step + 8 : (step + 264) << (segment - 1)
  return bits & 0x80 ? magnitude : -magnitude
}

const expandTable = (expand: (code: number) => number) =>
  Int16Array.from({ length: 256 }, (_, code) => expand(code))

const expansions: Readonly<Record<G711, Int16Array>> = {
  pcmu: expandTable(expandMu),
  pcma: expandTable(expandA),
}

/** The code of the nearest level for each 16-bit sample, the upper of two, indexed by the sample as an unsigned number. */
const compressTable = (levels: Int16Array): Uint8Array => {
  const sorted = Array.from(levels, (level, code) => ({ level, code })).toSorted(
    // Of µ-law's two zeros the positive one, which has the higher code, is the last and so the one taken.
    (a, b) => a.level - b.level || a.code - b.code,
  )
  const table = new Uint8Array(65_536)
  let at = 0
  for (let sample = -32_768; sample < 32_768; sample++) {
    const distance = (index: number) => Math.abs((sorted[index]?.level ?? Number.POSITIVE_INFINITY) - sample)
    while (distance(at + 1) <= distance(at)) at++
    table[sample & 0xffff] = sorted[at]?.code ?? 0
  }
  return table
}

/** Made with the first use: that takes 10 ms, and few services send G.711. */
const compressions = new Map<G711, Uint8Array>()

const compressionOf = (law: G711): Uint8Array => {
  const known = compressions.get(law)
  if (known !== undefined) return known
  const table = compressTable(expansions[law])
  compressions.set(law, table)
  return table
}

/** The 16-bit samples of G.711 bytes. */
export const decodeG711 = (law: G711, bytes: Uint8Array): Int16Array => {
  const table = expansions[law]
  const samples = new Int16Array(bytes.length)
  for (let n = 0; n < bytes.length; n++) samples[n] = table[bytes[n] ?? 0] ?? 0
  return samples
}

/** The G.711 bytes of 16-bit samples, each the nearest that the law has. */
export const encodeG711 = (law: G711, samples: Int16Array): Uint8Array => {
  const table = compressionOf(law)
  const bytes = new Uint8Array(samples.length)
  for (let n = 0; n < samples.length; n++) bytes[n] = table[(samples[n] ?? 0) & 0xffff] ?? 0
  return bytes
}
