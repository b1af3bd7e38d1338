import { expect, test } from "bun:test"
import { levelOf, makeEnergyDetector } from "../../src/vad/energy.ts"
import { frameSamples } from "../../src/vad/frame.ts"
import { noSpeech } from "../support/sounds.ts"

const probabilities = (samples: Int16Array) => {
  const detect = makeEnergyDetector()
  return Array.from({ length: Math.floor(samples.length / frameSamples) }, (_, frame) =>
    detect(levelOf(samples.subarray(frame * frameSamples, (frame + 1) * frameSamples))),
  )
}

test("steady sound is not speech after two seconds", () => {
  const sounds = noSpeech()
  for (const name of [
    "silence",
    "an offset",
    "quiet white noise",
    "loud white noise",
    "mains hum",
    "a tone",
  ]) {
    const later = probabilities(sounds[name] ?? new Int16Array()).slice(64)
    expect([name, later.length > 60, Math.max(...later) < 0.35]).toEqual([name, true, true])
  }
})

test("what is louder than the noise is", () => {
  const noise = noSpeech()["quiet white noise"]?.slice(0, 3 * 16_000) ?? new Int16Array()
  const loud = noise.map((sample, at) => (at > 40_000 ? sample * 15 : sample))
  const found = probabilities(loud)
  expect(Math.max(...found.slice(64, 78)) < 0.35).toBe(true)
  expect(found.slice(79).every((probability) => probability > 0.9)).toBe(true)
})
