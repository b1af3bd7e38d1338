import { describe, expect, test } from "bun:test"
import { longestGapMs, median, percentile } from "../../scripts/bench/statistics.ts"

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1)

describe("percentile", () => {
  test("is the nearest rank in any order", () => {
    expect(percentile([30, 10, 20, 40], 0.5)).toBe(20)
    expect(percentile(upTo(20).toReversed(), 0.95)).toBe(19)
    expect(percentile(upTo(100), 0.95)).toBe(95)
    expect(percentile(upTo(100), 1)).toBe(100)
  })

  test("of a few values: one of them", () => {
    expect(percentile([7], 0.95)).toBe(7)
    expect(percentile([7, 9], 0)).toBe(7)
    expect(percentile(upTo(15), 0.95)).toBe(15)
    expect(median([5, 1, 9])).toBe(5)
  })

  test("sorts numerically and does not mutate", () => {
    const values = [100, 9, 20]
    expect(percentile(values, 0.5)).toBe(20)
    expect(values).toEqual([100, 9, 20])
  })

  test("of no values: undefined", () => {
    expect(percentile([], 0.95)).toBeNaN()
  })
})

describe("longest gap of a player that starts at the first byte", () => {
  const gap = (...arrivals: ReadonlyArray<readonly [atMs: number, bytes: number]>) =>
    longestGapMs(
      arrivals.map(([atMs, bytes]) => ({ atMs, bytes })),
      20,
    )

  test("is 0 if audio arrives in time", () => {
    expect(gap([1600, 2400], [1720, 2400], [1840, 2400])).toBe(0)
    expect(gap([1600, 48_000], [3900, 2400])).toBe(0)
  })

  test("is the time from the end of the audio to the next part", () => {
    // 2400 bytes play for 120 ms: the player runs out at 1720.
    expect(gap([1600, 2400], [1750, 2400])).toBe(30)
  })

  test("delays everything after it", () => {
    // A gap of 50 ms until 1770. The next chunk plays until 1890.
    expect(gap([1600, 2400], [1770, 2400], [1890, 2400])).toBe(50)
  })

  test("is the maximum, not the sum", () => {
    expect(gap([0, 2400], [150, 2400], [310, 2400], [435, 2400])).toBe(40)
  })

  test("is 0 for one part or none", () => {
    expect(gap([1600, 20])).toBe(0)
    expect(gap()).toBe(0)
  })
})
