import { describe, expect, test } from "bun:test"
import { FastCheck } from "effect"
import { makeMonoMix } from "../../src/audio/mono.ts"

/** One channel: a sample from -1 to 1 by its number. */
type Channel = (n: number) => number

const length = 16_000
const voice: Channel = (n) => 0.4 * Math.sin((2 * Math.PI * 500 * n) / length)
const other: Channel = (n) => 0.4 * Math.sin((2 * Math.PI * 730 * n) / length)
const none: Channel = () => 0
const times =
  (gain: number, channel: Channel): Channel =>
  (n) =>
    gain * channel(n)
const plus =
  (one: Channel, two: Channel): Channel =>
  (n) =>
    one(n) + two(n)

const interleave = (channels: ReadonlyArray<Channel>) => {
  const samples = new Int16Array(length * channels.length)
  for (let n = 0; n < length; n++) {
    for (const [c, channel] of channels.entries()) {
      samples[n * channels.length + c] = Math.round(channel(n) * 32_767)
    }
  }
  return new Uint8Array(samples.buffer)
}

const mixed = (channels: ReadonlyArray<Channel>) => {
  const mix = makeMonoMix(channels.length)
  mix.push(interleave(channels))
  expect(mix.length()).toBe(length)
  const bytes = mix.samples()
  return new Int16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2)
}

/** How loud a tone of `hz` is in the samples: its amplitude, from 0 to 1. */
const level = (samples: Int16Array, hz: number) => {
  let re = 0
  let im = 0
  for (const [n, sample] of samples.entries()) {
    re += sample * Math.cos((2 * Math.PI * hz * n) / length)
    im += sample * Math.sin((2 * Math.PI * hz * n) / length)
  }
  return (2 * Math.hypot(re, im)) / samples.length / 32_767
}
const beside = (index: number, count: number) =>
  Array.from({ length: count }, (_, at) => (at === index ? voice : none))

describe("a voice keeps its level", () => {
  test.each([
    ["alone", [voice]],
    ["in both channels", [voice, voice]],
    ["in the first of two", [voice, none]],
    ["in the second of two", [none, voice]],
    ["in opposite phase", [voice, times(-1, voice)]],
    ["in opposite phase, the second weaker", [voice, times(-0.7, voice)]],
    ["in opposite phase, the first weaker", [times(-0.7, voice), voice]],
    ["in opposite phase beside two silent channels", [none, none, voice, times(-1, voice)]],
    ["in opposite phases of four", [voice, times(-1, voice), voice, times(-1, voice)]],
    ["in opposite phases by halves", [voice, voice, times(-1, voice), times(-1, voice)]],
    [
      "in opposite phase, with hum in phase",
      [plus(voice, times(0.02, other)), plus(times(-1, voice), times(0.02, other))],
    ],
    ["in all of 60", Array<Channel>(60).fill(voice)],
    ["in the last of 64", beside(63, 64)],
    ["in the first of 9", beside(0, 9)],
    ["beside a channel that has an offset only", [() => 0.4, voice]],
    ["in opposite phase behind a louder offset", [() => 0.9, voice, times(-1, voice)]],
  ])("%s", (_, channels) => {
    expect(level(mixed(channels), 500)).toBeCloseTo(0.4, 1)
  })
})

describe("nobody is lost", () => {
  test("two voices in two channels", () => {
    const mono = mixed([voice, other])
    expect(level(mono, 500)).toBeGreaterThan(0.25)
    expect(level(mono, 730)).toBeGreaterThan(0.25)
  })

  test("a quiet voice beside a loud one", () => {
    const mono = mixed([voice, times(0.05, other)])
    expect(level(mono, 730)).toBeGreaterThan(0.015)
  })

  test("one after the other", () => {
    const first: Channel = (n) => (n < length / 2 ? voice(n) : 0)
    const second: Channel = (n) => (n < length / 2 ? 0 : other(n))
    const mono = mixed([first, second])
    expect(level(mono.subarray(0, length / 2), 500)).toBeGreaterThan(0.25)
    expect(level(mono.subarray(length / 2), 730)).toBeGreaterThan(0.25)
  })
})

test("equal channels mix to the same samples, and silence to silence", () => {
  expect(mixed([voice, voice, voice])).toEqual(mixed([voice]))
  expect(mixed([none, none]).every((sample) => sample === 0)).toBe(true)
})

test("full scale is not exceeded", () => {
  const square: Channel = (n) => (n % 32 < 16 ? 1 : -1)
  const late: Channel = (n) => ((n + 5) % 32 < 16 ? 1 : -1)
  const mono = mixed([square, late])
  expect(Math.max(...mono)).toBeLessThanOrEqual(32_767)
  expect(Math.min(...mono)).toBeGreaterThanOrEqual(-32_768)
})

test("bytes may be cut anywhere", () => {
  const bytes = interleave([voice, times(-1, voice), none])
  const whole = makeMonoMix(3)
  whole.push(bytes)
  FastCheck.assert(
    FastCheck.property(FastCheck.array(FastCheck.integer({ min: 1, max: 50_000 })), (sizes) => {
      const mix = makeMonoMix(3)
      let at = 0
      for (const size of [...sizes, bytes.length]) {
        mix.push(bytes.subarray(at, at + size))
        at += size
      }
      expect(mix.samples()).toEqual(whole.samples())
    }),
    { numRuns: 30 },
  )
})

test("half a sample at the end is dropped", () => {
  for (const channels of [1, 2]) {
    const mix = makeMonoMix(channels)
    mix.push(new Uint8Array(4 * channels + 1).fill(1))
    expect(mix.length()).toBe(2)
    expect(mix.samples()).toHaveLength(4)
  }
})
