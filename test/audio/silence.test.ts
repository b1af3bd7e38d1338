import { describe, expect, test } from "bun:test"
import { Effect, Either } from "effect"
import { pcm16k } from "../../src/audio/pcm.ts"
import { rejectSilence } from "../../src/audio/silence.ts"

const isAccepted = (samples: Uint8Array, dbfs: number) =>
  Either.isRight(Effect.runSync(Effect.either(rejectSilence(pcm16k(samples), dbfs))))

/** 16 kHz mono 16-bit samples of a signal from -1 to 1 at a time in seconds. */
const samplesOf = (seconds: number, signal: (at: number, n: number) => number) => {
  const samples = Int16Array.from({ length: seconds * 16_000 }, (_, n) =>
    Math.round(32_767 * signal(n / 16_000, n)),
  )
  return new Uint8Array(samples.buffer)
}

/** The amplitude of a sine whose root mean square level is `dbfs`. */
const amplitude = (dbfs: number) => 10 ** (dbfs / 20) * Math.SQRT2
const sine = (dbfs: number, hz = 440) => {
  const peak = amplitude(dbfs)
  return (at: number) => peak * Math.sin(2 * Math.PI * hz * at)
}
const tone = (seconds: number, dbfs: number) => samplesOf(seconds, sine(dbfs))
/** Of one level, the same in every run. */
const hiss = (dbfs: number) => {
  const peak = amplitude(dbfs)
  return (_: number, n: number) => peak * Math.sin(n * n)
}

test.each([
  [-40, true],
  [-58, true],
  [-62, false],
  [-80, false],
])("a tone of %d dBFS", (dbfs, accepted) => {
  expect(isAccepted(tone(1, dbfs), -60)).toBe(accepted)
})

test("a short word in a long silence is enough", () => {
  expect(isAccepted(Buffer.concat([tone(10, -120), tone(0.1, -40), tone(5, -120)]), -60)).toBe(true)
})

test.each([0, 1, 2, 3])("%d bytes are no speech", (length) => {
  expect(isAccepted(new Uint8Array(length), -60)).toBe(false)
})

test("0 dBFS accepts silence", () => {
  expect(isAccepted(tone(1, -120), 0)).toBe(true)
})

describe("no speech is", () => {
  test.each([
    ["an offset of -26 dBFS", () => 0.05],
    ["an offset of -0.1 dBFS", () => -0.99],
    ["an offset and hiss", (at: number, n: number) => 0.05 + hiss(-66)(at, n)],
    ["an offset that drifts by half of full scale in 2 s", (at: number) => 0.25 * at],
    ["an offset that moves slowly to and fro", sine(-26, 0.3)],
    ["an offset that sets in", (at: number) => (at < 1.01 ? 0 : 0.05)],
    ["a click", (_: number, n: number) => (n === 16_010 ? 1 : 0)],
    ["clicks", (_: number, n: number) => (n % 4000 === 10 ? 0.5 : 0)],
  ])("%s", (_, signal) => {
    expect(isAccepted(samplesOf(2, signal), -60)).toBe(false)
  })
})

describe("speech is", () => {
  test.each([
    ["a tone on an offset", (at: number) => 0.5 + sine(-50)(at)],
    ["a tone on a drift", (at: number) => 0.4 * at - 0.4 + sine(-50)(at)],
    ["a deep voice", sine(-50, 85)],
    ["hiss above the level", hiss(-55)],
    ["a word of 0.1 s on an offset", (at: number) => 0.3 + (at > 1 && at < 1.1 ? sine(-40)(at) : 0)],
    ["a word at the very end", (at: number) => (at > 1.9 ? sine(-40)(at) : 0)],
  ])("%s", (_, signal) => {
    expect(isAccepted(samplesOf(2, signal), -60)).toBe(true)
  })

  test("0.1 s of a tone", () => {
    expect(isAccepted(tone(0.1, -50), -60)).toBe(true)
  })
})
