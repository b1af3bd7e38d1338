/** Zero crossings of the sinc on each side: aliases and images stay under -60 dB from 5 % beside the band on. */
const crossings = 16
/** Of the lower of the two Nyquist frequencies. */
const passband = 0.92
/** Entries of the kernel's table for each input sample. */
const steps = 256

/** A sinc in a Blackman window, in `steps` entries per sample, from its middle on. */
const kernelOf = (cutoff: number, half: number) =>
  Float32Array.from({ length: half * steps + 2 }, (_, at) => {
    const x = at / steps
    if (x >= half) return 0
    const angle = Math.PI * cutoff * x
    const window = 0.42 + 0.5 * Math.cos((Math.PI * x) / half) + 0.08 * Math.cos((2 * Math.PI * x) / half)
    return cutoff * (x === 0 ? 1 : Math.sin(angle) / angle) * window
  })

/**
 * Changes the sample rate of one stream, whose pieces may have any length. The output is the same for every cut. It is
 * late by 18 samples of the lower rate.
 */
export const makeResampler = (from: number, to: number): ((samples: Float32Array) => Float32Array) => {
  if (from === to) return (samples) => samples
  const cutoff = Math.min(1, to / from) * passband
  const half = Math.ceil(crossings / cutoff)
  const kernel = kernelOf(cutoff, half)
  const step = from / to
  let input = new Float32Array(half)
  /** Of the next output sample, in samples of `input`. */
  let position = half

  const sampleAt = (position: number) => {
    let sum = 0
    const middle = Math.floor(position)
    for (let at = middle - half + 1; at <= middle + half; at += 1) {
      const place = Math.abs(position - at) * steps
      const index = Math.floor(place)
      const low = kernel[index] ?? 0
      const high = kernel[index + 1] ?? 0
      sum += (input[at] ?? 0) * (low + (high - low) * (place - index))
    }
    return sum
  }

  return (samples) => {
    const longer = new Float32Array(input.length + samples.length)
    longer.set(input)
    longer.set(samples, input.length)
    input = longer
    const count = Math.max(0, Math.ceil((input.length - half - position) / step))
    const output = Float32Array.from({ length: count }, (_, at) => sampleAt(position + at * step))
    position += count * step
    const done = Math.max(0, Math.floor(position) - half)
    input = input.slice(done)
    position -= done
    return output
  }
}
