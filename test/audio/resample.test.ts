import { describe, expect, test } from "bun:test"
import { FastCheck } from "effect"
import { makeResampler } from "../../src/audio/resample.ts"

const tone = (hz: number, rate: number, seconds = 1) =>
  Int16Array.from({ length: rate * seconds }, (_, n) =>
    Math.round(16_000 * Math.sin((2 * Math.PI * hz * n) / rate)),
  )

type Rates = readonly [from: 8_000 | 24_000, to: 8_000 | 16_000]
const pairs: ReadonlyArray<Rates> = [
  [24_000, 16_000],
  [8_000, 16_000],
  [24_000, 8_000],
]

const resample = ([from, to]: Rates, chunks: Iterable<Int16Array>): Int16Array => {
  const resampler = makeResampler(from, to)
  const output: Array<number> = []
  for (const chunk of chunks) output.push(...resampler.push(chunk))
  output.push(...resampler.flush())
  return Int16Array.from(output)
}

/** In dB, relative to the tone; without the edges, where the tone begins and ends. */
const level = (samples: Int16Array) => {
  const inner = samples.subarray(400, samples.length - 400)
  const squares = inner.reduce((sum, sample) => sum + sample * sample, 0)
  return 20 * Math.log10(Math.sqrt((2 * squares) / inner.length) / 16_000)
}

/** The level of one frequency in dB, relative to the tone. */
const levelAt = (samples: Int16Array, hz: number, rate: number) => {
  const inner = samples.subarray(rate / 20, rate / 20 + rate / 2)
  const sum = (wave: (angle: number) => number) =>
    inner.reduce((total, sample, n) => total + sample * wave((2 * Math.PI * hz * n) / rate), 0)
  return 20 * Math.log10((2 * Math.hypot(sum(Math.cos), sum(Math.sin))) / inner.length / 16_000)
}

const cut = (samples: Int16Array, sizes: ReadonlyArray<number>): ReadonlyArray<Int16Array> => {
  const chunks: Array<Int16Array> = []
  let at = 0
  for (const size of sizes) {
    chunks.push(samples.subarray(at, at + size))
    at += size
  }
  return [...chunks, samples.subarray(at)]
}

describe.each(pairs)("%i to %i Hz", (from, to) => {
  const nyquist = Math.min(from, to) / 2

  test.each([0.02, 0.2, 0.5, 0.75, 0.8])("passes %d of the band", (part) => {
    expect(Math.abs(level(resample([from, to], [tone(part * nyquist, from)])))).toBeLessThan(0.1)
  })

  test("stops what would be an alias", () => {
    for (const part of [1.035, 1.05, 1.1, 1.3, 1.48]) {
      if (part * nyquist < from / 2) {
        expect(level(resample([from, to], [tone(part * nyquist, from)]))).toBeLessThan(-58)
      }
    }
  })

  test("makes no image", () => {
    if (to < from) return
    for (const hz of [500, 2_000, 3_000, 3_200]) {
      expect(levelAt(resample([from, to], [tone(hz, from)]), from - hz, to)).toBeLessThan(-58)
    }
  })

  test("keeps the time of a click", () => {
    const click = new Int16Array(from)
    click[from / 2] = 30_000
    const output = resample([from, to], [click])
    const loudest = output.reduce((best, sample, n) => (sample > (output[best] ?? 0) ? n : best), 0)
    expect(loudest).toBe(to / 2)
  })

  test("a constant stays constant", () => {
    const output = resample([from, to], [new Int16Array(from).fill(10_000)])
    for (const sample of output.subarray(100, -100)) expect(Math.abs(sample - 10_000)).toBeLessThanOrEqual(1)
  })

  test("full scale does not wrap around", () => {
    const square = Int16Array.from({ length: from / 10 }, (_, n) => (n % 40 < 20 ? 32_767 : -32_768))
    const output = resample([from, to], [square])
    expect(Math.max(...output)).toBe(32_767)
    expect(Math.min(...output)).toBe(-32_768)
  })

  test("chunks give the samples of one piece", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.int16Array({ minLength: 0, maxLength: 400 }),
        FastCheck.array(FastCheck.integer({ min: 0, max: 70 }), { maxLength: 20 }),
        (samples, sizes) => {
          const whole = resample([from, to], [samples])
          expect(resample([from, to], cut(samples, sizes))).toEqual(whole)
          expect(whole.length).toBe(Math.ceil((samples.length * to) / from))
        },
      ),
    )
  })

  test("one sample at a time gives the same", () => {
    const samples = tone(440, from, 0.1)
    expect(resample([from, to], cut(samples, Array<number>(samples.length).fill(1)))).toEqual(
      resample([from, to], [samples]),
    )
  })

  test("starts anew after the end", () => {
    const resampler = makeResampler(from, to)
    const samples = tone(440, from, 0.1)
    const first = [...resampler.push(samples), ...resampler.flush()]
    expect([...resampler.push(samples), ...resampler.flush()]).toEqual(first)
  })
})

test("an equal rate passes through", () => {
  const resampler = makeResampler(16_000, 16_000)
  expect([...resampler.push(Int16Array.of(1, 2, 3))]).toEqual([1, 2, 3])
  expect(resampler.flush().length).toBe(0)
})

test("resamplers that take turns do not mix, however long their chunks are", () => {
  const [low, high] = [tone(440, 24_000), tone(3_000, 24_000)]
  const alone = [low, high].map((samples) => [...resample([24_000, 16_000], [samples])])
  const pair = [makeResampler(24_000, 16_000), makeResampler(24_000, 16_000)] as const
  const outputs: readonly [Array<number>, Array<number>] = [[], []]
  const sizes = [480, 4_752, 6_000, 1, 2_400]
  const [lows, highs] = [cut(low, sizes), cut(high, sizes)]
  for (const [at, chunk] of lows.entries()) {
    outputs[0].push(...pair[0].push(chunk))
    outputs[1].push(...pair[1].push(highs[at] ?? new Int16Array()))
  }
  for (const at of [0, 1] as const) outputs[at].push(...pair[at].flush())
  expect([...outputs]).toEqual(alone)
})
