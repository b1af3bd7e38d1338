/** Hz. */
export type ResampledRate = 8_000 | 16_000 | 24_000

export interface Resampler {
  /** Takes the next samples and returns those that are complete. However the input is cut, the output is the same. */
  readonly push: (samples: Int16Array) => Int16Array
  /** The last samples, which need what would come next. Starts anew afterwards. */
  readonly flush: () => Int16Array
}

/**
 * The filter's length in samples of the lower rate. With the shape below, 32 make the slope from pass-band to stop-band
 * 0.23 of the lower rate's Nyquist frequency wide (Kaiser's estimate).
 */
const span = 32
/** The middle of the slope, as a part of the lower rate's Nyquist frequency: flat to 0.8, stopped from 1.035. */
const cutoff = 0.92
/** Kaiser's shape for a stop-band of 60 dB: 0.1102 (A - 8.7). 16-bit speech at a microphone has more noise. */
const beta = 0.1102 * (60 - 8.7)

/** The modified Bessel function of order zero, by its series. */
const bessel = (x: number): number => {
  let sum = 1
  let term = 1
  for (let k = 1; term > sum * 1e-12; k++) {
    term *= (x / (2 * k)) ** 2
    sum += term
  }
  return sum
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b))

interface Filter {
  readonly up: number
  readonly down: number
  /** Input samples before and after the one at the output's time. */
  readonly reach: number
  /** For each of the `up` phases, the weights of the 2 reach input samples. */
  readonly phases: ReadonlyArray<Float64Array>
}

/** A windowed sinc, cut into phases. */
const makeFilter = (from: number, to: number): Filter => {
  const common = gcd(from, to)
  const up = to / common
  const down = from / common
  /** In cycles per input sample. */
  const middle = (cutoff * Math.min(1, up / down)) / 2
  const reach = Math.ceil((span * Math.max(1, down / up)) / 2)
  const phases = Array.from({ length: up }, (_, phase) => {
    const weights = Array.from({ length: 2 * reach }, (_, tap) => {
      const x = tap - (reach - 1) - phase / up
      const edge = x / reach
      const window = Math.abs(edge) >= 1 ? 0 : bessel(beta * Math.sqrt(1 - edge * edge)) / bessel(beta)
      const angle = 2 * Math.PI * middle * x
      return (x === 0 ? 2 * middle : Math.sin(angle) / (Math.PI * x)) * window
    })
    // Each phase passes a constant unchanged, or it would be heard as a tone of the lower rate.
    const sum = weights.reduce((total, each) => total + each, 0)
    return Float64Array.from(weights, (each) => each / sum)
  })
  return { up, down, reach, phases }
}

const filters = new Map<string, Filter>()
const filterOf = (from: number, to: number): Filter => {
  const key = `${from}-${to}`
  const known = filters.get(key)
  if (known !== undefined) return known
  const made = makeFilter(from, to)
  filters.set(key, made)
  return made
}

/** Samples above which memory is not kept: 100 ms of the highest rate, twice. */
const keptSamples = 4_800
const kept = new Float64Array(keptSamples)
/** Memory until the end of one `push`, the same for all resamplers: 200 MB a second would be garbage of 1000 connections. */
const scratchOf = (length: number): Float64Array => (length <= keptSamples ? kept : new Float64Array(length))

/**
 * The weighted sum of samples from `first` on. It is most of the CPU of a silent connection. Four sums are faster than one
 * (0.4 against 0.6 ms per second of audio), because each addition waits for the one before it.
 */
const weighted = (input: Float64Array, first: number, weights: Float64Array): number => {
  let a = 0
  let b = 0
  let c = 0
  let d = 0
  // `span` makes the number of weights a multiple of 4 for all rates.
  for (let tap = 0; tap < weights.length; tap += 4) {
    const at = first + tap
    a += (weights[tap] ?? 0) * (input[at] ?? 0)
    b += (weights[tap + 1] ?? 0) * (input[at + 1] ?? 0)
    c += (weights[tap + 2] ?? 0) * (input[at + 2] ?? 0)
    d += (weights[tap + 3] ?? 0) * (input[at + 3] ?? 0)
  }
  return a + b + c + d
}

/**
 * Changes the rate of mono 16-bit samples by a polyphase FIR filter, which keeps its state between chunks. The output is
 * not delayed against the input: sample n is at n / `to` seconds. An equal rate passes through.
 */
export const makeResampler = (from: ResampledRate, to: ResampledRate): Resampler => {
  if (from === to) return { push: (samples) => samples, flush: () => new Int16Array(0) }
  const { up, down, reach, phases } = filterOf(from, to)
  /** Input samples from `base` on; zeros before the first. As floats, because converting each for each tap is slow. */
  let held = new Float64Array(reach - 1)
  let base = -(reach - 1)
  /** The next output sample. */
  let next = 0
  let received = 0

  /** The output samples whose input lies before `end`. */
  const take = (input: Float64Array, end: number): Int16Array => {
    const length = Math.max(0, Math.ceil(((end - reach) * up) / down) - next)
    const output = new Int16Array(length)
    for (let n = 0; n < length; n++) {
      const position = (next + n) * down
      const weights = phases[position % up]
      const first = Math.floor(position / up) - (reach - 1) - base
      const sum = weights === undefined ? 0 : weighted(input, first, weights)
      output[n] = Math.max(-32_768, Math.min(32_767, Math.round(sum)))
    }
    next += length
    return output
  }

  const push = (samples: Int16Array): Int16Array => {
    if (samples.length === 0) return new Int16Array(0)
    const input = scratchOf(held.length + samples.length)
    input.set(held)
    input.set(samples, held.length)
    received += samples.length
    const output = take(input, received)
    const keepFrom = Math.floor((next * down) / up) - (reach - 1)
    held = input.slice(Math.max(0, keepFrom - base), held.length + samples.length)
    base = Math.max(base, keepFrom)
    return output
  }

  const flush = (): Int16Array => {
    const wanted = Math.ceil((received * up) / down)
    const output = push(new Int16Array(2 * reach))
    const rest = output.subarray(0, Math.max(0, wanted - (next - output.length)))
    held = new Float64Array(reach - 1)
    base = -(reach - 1)
    next = 0
    received = 0
    return rest
  }

  return { push, flush }
}
