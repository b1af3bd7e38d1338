/** Detects which of the upstream's tones a piece of audio consists of, and where they change. */
import { TONES } from "./upstream-audio.ts"

export interface Heard {
  /** Undefined for silence. */
  readonly hz: number | undefined
  readonly fromMs: number
  readonly ms: number
}

/** Long enough to tell tones 125 Hz apart. */
const WINDOW_MS = 16
const STEP_MS = 4
/** -40 dB below full scale counts as silence. */
const SILENCE = 327
/** Enough for the highest tone, 1625 Hz. All samples would take 10 ms of CPU for each second of sound. */
const LOOKED_AT_HZ = 6000

/** The sequence of tones in mono samples, to about 10 ms. Shorter tones are not reported. */
export const heardIn = (all: Int16Array, allRate = 24_000): readonly Heard[] => {
  const every = Math.max(1, Math.floor(allRate / LOOKED_AT_HZ))
  const samples = all.filter((_, at) => at % every === 0)
  const rate = allRate / every
  const window = Math.round((WINDOW_MS * rate) / 1000)
  const step = Math.round((STEP_MS * rate) / 1000)
  const heard: { hz: number | undefined; fromMs: number; ms: number }[] = []
  for (let at = 0; at + window <= samples.length; at += step) {
    const hz = toneOf(samples.subarray(at, at + window), rate)
    const last = heard.at(-1)
    if (last !== undefined && last.hz === hz) last.ms += STEP_MS
    else heard.push({ hz, fromMs: (at / rate) * 1000, ms: STEP_MS })
  }
  return heard.filter(({ ms }) => ms > STEP_MS)
}

/** The order of the tones: what was spoken first, second and so on. */
export const tonesIn = (samples: Int16Array, rate = 24_000): readonly number[] =>
  heardIn(samples, rate)
    .flatMap(({ hz, ms }) => (hz === undefined || ms < 40 ? [] : [hz]))
    .filter((hz, index, all) => hz !== all[index - 1])

const toneOf = (samples: Int16Array, rate: number): number | undefined => {
  let energy = 0
  for (let at = 0; at < samples.length; at++) energy += (samples[at] ?? 0) ** 2
  const level = Math.sqrt(energy / samples.length)
  if (level < SILENCE) return undefined
  const powers = TONES.map((hz) => ({ hz, power: goertzel(samples, hz, rate) }))
  return powers.reduce((loudest, tone) => (tone.power > loudest.power ? tone : loudest)).hz
}

/** The power of one frequency. */
const goertzel = (samples: Int16Array, hz: number, rate: number): number => {
  const factor = 2 * Math.cos((2 * Math.PI * hz) / rate)
  let last = 0
  let before = 0
  for (let at = 0; at < samples.length; at++) {
    const now = (samples[at] ?? 0) + factor * last - before
    before = last
    last = now
  }
  return last * last + before * before - factor * last * before
}
