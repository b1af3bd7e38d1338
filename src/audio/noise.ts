/** Bytes that are enough to tell compressed data from samples: 21 ms at 24 kHz. */
export const NOISE_BYTES = 1024
/** The mean level of random 16-bit numbers is 16,384. Speech has less than 8,000. */
const LOUD = 12_000

/**
 * Whether 16-bit samples are compressed or encrypted data: loud, and each sample differs from the one before by more
 * than its own level. Sound below a sixth of its sample rate, which speech is, changes by less.
 */
export const isNoise = (bytes: Uint8Array, bigEndian = false): boolean => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, NOISE_BYTES) & ~1)
  const count = view.byteLength / 2
  if (view.byteLength < NOISE_BYTES / 2) return false
  let level = 0
  let change = 0
  let last = 0
  for (let at = 0; at < view.byteLength; at += 2) {
    const sample = view.getInt16(at, !bigEndian)
    level += Math.abs(sample)
    change += Math.abs(sample - last)
    last = sample
  }
  return level / count > LOUD && change > level
}
