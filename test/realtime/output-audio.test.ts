import { describe, expect, test } from "bun:test"
import { decodeG711 } from "../../src/audio/g711.ts"
import { makeOutputAudio } from "../../src/realtime/output-audio.ts"
import type { AudioFormat } from "../../src/realtime/protocol/session-config.ts"

const speech = new Uint8Array(
  Int16Array.from({ length: 24_000 }, (_, n) =>
    Math.round(9_000 * Math.sin((2 * Math.PI * 300 * n) / 24_000)),
  ).buffer,
)

const write = (format: AudioFormat, size: number) => {
  const output = makeOutputAudio(format)
  const chunks = Array.from({ length: Math.ceil(speech.length / size) }, (_, n) =>
    output.push(speech.subarray(n * size, (n + 1) * size)),
  ).flat()
  const all = [...chunks, ...output.flush()]
  return {
    bytes: Buffer.concat(all.map(({ base64 }) => Uint8Array.fromBase64(base64))),
    ms: all.reduce((sum, { ms }) => sum + ms, 0),
    longest: Math.max(...all.map(({ ms }) => ms)),
    isWhole: all.every(
      ({ base64 }) => format.type !== "audio/pcm" || Uint8Array.fromBase64(base64).length % 2 === 0,
    ),
  }
}

test.each([1, 333, 9_600, 48_000])("PCM in pieces of %i bytes stays as it is", (size) => {
  const { bytes, ms, longest, isWhole } = write({ type: "audio/pcm", rate: 24_000 }, size)
  expect(bytes.equals(speech)).toBe(true)
  expect(ms).toBeCloseTo(1_000, 6)
  expect(longest).toBeLessThanOrEqual(200)
  expect(isWhole).toBe(true)
})

describe.each(["pcmu", "pcma"] as const)("%s", (law) => {
  test.each([1, 333, 9_600])("pieces of %i bytes give the bytes of one piece", (size) => {
    const whole = write({ type: `audio/${law}` }, speech.length)
    expect(write({ type: `audio/${law}` }, size).bytes.equals(whole.bytes)).toBe(true)
    expect(whole.bytes.length).toBe(8_000)
    expect(whole.ms).toBe(1_000)
    expect(whole.longest).toBeLessThanOrEqual(200)
    expect(Math.max(...decodeG711(law, whole.bytes))).toBeGreaterThan(8_500)
  })
})

test("half a sample at the end is dropped", () => {
  const output = makeOutputAudio({ type: "audio/pcm", rate: 24_000 })
  expect(output.push(Uint8Array.of(1, 2, 3)).map(({ base64 }) => base64)).toEqual([
    Uint8Array.of(1, 2).toBase64(),
  ])
  expect(output.flush()).toEqual([])
})
