import { expect, test } from "bun:test"
import { makeResampler } from "../../src/page/resample.ts"
import { tone } from "../support/wav.ts"

const rates = [
  [48_000, 24_000],
  [44_100, 24_000],
  [16_000, 24_000],
  [24_000, 48_000],
  [24_000, 44_100],
] as const

const inPieces = (samples: Float32Array, from: number, to: number, size: (at: number) => number) => {
  const resample = makeResampler(from, to)
  const out: Array<number> = []
  for (let at = 0; at < samples.length; ) {
    const end = at + size(at)
    out.push(...resample(samples.slice(at, end)))
    at = end
  }
  return out
}

const level = (samples: ReadonlyArray<number>) =>
  10 * Math.log10(samples.reduce((sum, each) => sum + each * each, 0) / samples.length + 1e-15)

/** The middle, without the edges. */
const middle = (samples: ReadonlyArray<number>) => samples.slice(500, -500)

test.each(rates)("%i to %i Hz keeps a tone, in its length and its phase", (from, to) => {
  const out = inPieces(tone(0.5, 1000, from), from, to, () => 128)
  const ideal = tone(0.5, 1000, to)
  expect(ideal.length - out.length).toBeGreaterThanOrEqual(0)
  expect(ideal.length - out.length).toBeLessThan((20 * to) / Math.min(from, to))
  expect(level(middle(out.map((each, at) => each - (ideal[at] ?? 0))))).toBeLessThan(-60)
})

test.each(rates)("%i to %i Hz: the same for every cut", (from, to) => {
  const samples = tone(0.2, 700, from)
  const whole = inPieces(samples, from, to, () => samples.length)
  for (const size of [1, 7, 128, 1001]) {
    const cut = inPieces(samples, from, to, (at) => size + (at % 3))
    // The newest sample may come with the next piece.
    expect(Math.abs(cut.length - whole.length)).toBeLessThanOrEqual(1)
    const both = Math.min(cut.length, whole.length)
    expect(level(cut.slice(0, both).map((each, at) => each - (whole[at] ?? 0)))).toBeLessThan(-100)
  }
})

test("aliases are filtered out", () => {
  expect(level(middle(inPieces(tone(0.5, 14_000, 48_000), 48_000, 24_000, () => 128)))).toBeLessThan(-60)
})

test("images are filtered out", () => {
  // Of a tone at 9 kHz: at 15 kHz. The difference to the ideal tone has all of them.
  const out = inPieces(tone(0.5, 9000, 24_000), 24_000, 48_000, () => 128)
  const ideal = tone(0.5, 9000, 48_000)
  expect(level(middle(out.map((each, at) => each - (ideal[at] ?? 0))))).toBeLessThan(-60)
})

test("at the same rate nothing changes", () => {
  const samples = tone(0.01, 500, 24_000)
  expect(makeResampler(24_000, 24_000)(samples)).toBe(samples)
})
