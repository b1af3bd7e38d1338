import { expect, test } from "bun:test"
import { makeKeptAudio } from "../../src/realtime/kept-audio.ts"

test("what is kept", () => {
  const kept = makeKeptAudio()
  const samples = Int16Array.from({ length: 1000 }, (_, at) => at)
  for (let at = 0, size = 1; at < samples.length; at += size, size = (size * 5 + 3) % 97) {
    kept.append(samples.subarray(at, at + size))
  }
  expect([kept.start(), kept.end()]).toEqual([0, 1000])
  expect(kept.slice(0, 1000)).toEqual(samples)
  for (const position of [10, 5, 333, 334.7, 999]) {
    kept.dropBefore(position)
    const start = kept.start()
    expect(kept.slice(start, 1000)).toEqual(samples.subarray(start))
    expect(kept.slice(start, start + 1)).toEqual(samples.subarray(start, start + 1))
  }
  expect([kept.start(), kept.slice(0, 1000).length]).toEqual([999, 1])
  kept.dropBefore(5000)
  expect([kept.start(), kept.end(), kept.slice(0, 2000).length]).toEqual([1000, 1000, 0])
  kept.append(samples.subarray(0, 3))
  expect([...kept.slice(1000, 1003)]).toEqual([0, 1, 2])
})

test("it does not share memory with what was appended", () => {
  const kept = makeKeptAudio()
  const reused = Int16Array.from([1, 2, 3])
  kept.append(reused)
  reused.fill(9)
  expect([...kept.slice(0, 3)]).toEqual([1, 2, 3])
})
