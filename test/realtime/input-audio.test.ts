import { describe, expect, test } from "bun:test"
import { Effect, Either, FastCheck } from "effect"
import { encodeG711 } from "../../src/audio/g711.ts"
import { toSamples } from "../../src/audio/pcm.ts"
import { makeInputAudio, readBase64, speechFrom } from "../../src/realtime/input-audio.ts"
import type { AudioFormat } from "../../src/realtime/protocol/session-config.ts"
import { effectTest } from "../support/effect.ts"

const pcm: AudioFormat = { type: "audio/pcm", rate: 24_000 }

const speech = (rate: number, seconds: number) =>
  Int16Array.from({ length: rate * seconds }, (_, n) =>
    Math.round(9_000 * Math.sin((2 * Math.PI * 300 * n) / rate)),
  )
const bytesOf = (samples: Int16Array) => new Uint8Array(samples.buffer)

const read = (format: AudioFormat, chunks: ReadonlyArray<Uint8Array>) => {
  const input = makeInputAudio(format)
  const samples = chunks.flatMap((chunk) => [...input.push(chunk)])
  return { samples: [...samples, ...input.flush()], ms: input.ms() }
}

const cut = (bytes: Uint8Array, size: number) =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, n) => bytes.subarray(n * size, (n + 1) * size))

test.each([1, 3, 480, 4_799, 4_800])("appends of %i bytes give the samples of one piece", (size) => {
  const bytes = bytesOf(speech(24_000, 0.4))
  const whole = read(pcm, [bytes])
  expect(read(pcm, cut(bytes, size))).toEqual(whole)
  expect(whole.ms).toBe(400)
  expect(whole.samples.length).toBe(6_400)
})

test("appends cut anywhere give the samples of one piece", () => {
  const bytes = bytesOf(speech(24_000, 0.02))
  FastCheck.assert(
    FastCheck.property(
      FastCheck.array(FastCheck.integer({ min: 0, max: 960 }), { maxLength: 12 }),
      (cuts) => {
        const ends = [...cuts.toSorted((a, b) => a - b), bytes.length]
        const chunks = ends.map((end, n) => bytes.subarray(ends[n - 1] ?? 0, end))
        expect(read(pcm, chunks)).toEqual(read(pcm, [bytes]))
      },
    ),
  )
})

test("a spare byte is dropped by clear", () => {
  const input = makeInputAudio(pcm)
  const bytes = bytesOf(speech(24_000, 0.1))
  input.push(Uint8Array.of(1))
  input.clear()
  const samples = input.push(bytes)
  expect([...samples, ...input.flush()]).toEqual(read(pcm, [bytes]).samples)
})

describe.each(["pcmu", "pcma"] as const)("%s", (law) => {
  const format: AudioFormat = { type: `audio/${law}` }
  const bytes = encodeG711(law, speech(8_000, 0.5))

  test("is 8 kHz with a byte a sample", () => {
    const { samples, ms } = read(format, [bytes])
    expect(ms).toBe(500)
    expect(samples.length).toBe(8_000)
    expect(Math.max(...samples)).toBeGreaterThan(8_500)
    expect(Math.max(...samples)).toBeLessThan(9_500)
  })

  test("chunks give the samples of one piece", () => {
    expect(read(format, cut(bytes, 7))).toEqual(read(format, [bytes]))
  })
})

test.each(["%%%", "AAA=A", "a", "____", "data:audio/wav;base64,AAAA", "\u{1F600}"])(
  "%p is not base64",
  (text) => {
    expect(readBase64(text)).toMatchObject({ left: { code: "invalid_base64", param: "audio" } })
  },
)

test.each(["", "AA", "AAA", "AAAA\n", "AAA="])("%p is base64", (text) => {
  expect(Either.isRight(readBase64(text))).toBe(true)
})

test("the error names the field", () => {
  expect(readBase64("!", "item.content[0].audio")).toMatchObject({
    left: { param: "item.content[0].audio" },
  })
})

effectTest(
  "the speech in parts is that in one piece",
  Effect.gen(function* () {
    const bytes = bytesOf(speech(24_000, 12.3))
    const { samples } = read(pcm, [bytes])
    const { bytes: heard, seconds } = yield* speechFrom(pcm, cut(bytes, 100_001))
    expect([...toSamples(heard)]).toEqual(samples)
    expect(seconds).toBeCloseTo(12.3, 2)
  }),
)
