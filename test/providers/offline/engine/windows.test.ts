import { describe, expect, test } from "bun:test"
import { windowsOf } from "../../../../src/providers/offline/engine/windows.ts"

const rate = 16_000
const seconds = (start: number, end: number) => ({ start: start * rate, end: end * rate })
const inSeconds = (windows: ReturnType<typeof windowsOf>) =>
  windows.map(({ start, end }) => [start / rate, end / rate])

/** So many seconds of a square wave that is quiet in the given ranges. */
const sound = (length: number, ...quiet: ReadonlyArray<readonly [number, number]>) =>
  Int16Array.from({ length: length * rate }, (_, at) =>
    quiet.some(([from, to]) => at >= from * rate && at < to * rate) ? 10 : at % 32 < 16 ? 9000 : -9000,
  )

test("each span of speech with 200 ms around", () => {
  const speech = [seconds(1, 2), seconds(4, 6)]
  expect(inSeconds(windowsOf(speech, sound(10)))).toEqual([
    [0.8, 2.2],
    [3.8, 6.2],
  ])
})

test("not beyond the recording", () => {
  expect(inSeconds(windowsOf([seconds(0.1, 4.95)], sound(5)))).toEqual([[0, 5]])
})

test("not beyond the middle of a short pause", () => {
  const [first, second] = inSeconds(windowsOf([seconds(1, 2), seconds(2.2, 3)], sound(5)))
  expect(first?.[1]).toBeCloseTo(2.1)
  expect(second?.[0]).toBeCloseTo(2.1)
})

test("no speech, no window", () => {
  expect(windowsOf([], sound(5))).toEqual([])
})

describe("speech that is longer than 15 s", () => {
  test("is cut where it is quietest", () => {
    const windows = inSeconds(windowsOf([seconds(1, 26)], sound(30, [12, 12.1], [13, 13.02])))
    expect(windows.length).toBe(2)
    expect(windows[0]?.[1]).toBeWithin(12, 12.1)
  })

  test("leaves no short rest", () => {
    const windows = inSeconds(windowsOf([seconds(0, 15.2)], sound(16)))
    expect(windows.length).toBe(2)
    for (const [start = 0, end = 0] of windows) expect(end - start).toBeGreaterThan(4)
  })

  test("has no gap, no overlap and no long window", () => {
    const windows = windowsOf([seconds(0, 300)], sound(300))
    expect(windows[0]?.start).toBe(0)
    expect(windows.at(-1)?.end).toBe(300 * rate)
    for (const [index, { start, end }] of windows.entries()) {
      expect(end - start).toBeLessThanOrEqual(15 * rate)
      if (index > 0) expect(start).toBe(windows[index - 1]?.end ?? 0)
    }
  })
})
