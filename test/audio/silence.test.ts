import { expect, test } from "bun:test"
import { Effect, Either } from "effect"
import { pcm16k } from "../../src/audio/pcm.ts"
import { rejectSilence } from "../../src/audio/silence.ts"

const isAccepted = (samples: Uint8Array, dbfs: number) =>
  Either.isRight(Effect.runSync(Effect.either(rejectSilence(pcm16k(samples), dbfs))))

/** 16 kHz mono 16-bit samples of a tone. `dbfs` is its root mean square level. */
const tone = (seconds: number, dbfs: number) => {
  const amplitude = 32_768 * 10 ** (dbfs / 20) * Math.SQRT2
  const samples = Int16Array.from({ length: seconds * 16_000 }, (_, n) =>
    Math.round(amplitude * Math.sin((2 * Math.PI * 440 * n) / 16_000)),
  )
  return new Uint8Array(samples.buffer)
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
