import { describe, expect, test } from "bun:test"
import { readOptions } from "../../../scripts/bench/soak/options.ts"

describe("the options of the soak", () => {
  test("default to ten minutes and a new seed", () => {
    const options = readOptions([])
    expect(options).toMatchObject({
      length: { ms: 600_000 },
      perSecond: 16,
      mostAtATime: 64,
      isFast: false,
      every: 500,
      restMs: 40_000,
      write: false,
    })
    expect(Number.isInteger(options.seed)).toBe(true)
    expect(readOptions([]).seed).not.toBe(options.seed)
  })

  test("set the length by minutes or by turns", () => {
    expect(readOptions(["2.5"]).length).toEqual({ ms: 150_000 })
    expect(readOptions(["--turns", "10000"]).length).toEqual({ turns: 10_000 })
  })

  test("set the other options", () => {
    const fast = ["--fast", "--at-a-time", "8", "--every", "100", "--ffmpeg", "/opt/ffmpeg"]
    const rest = ["--seed", "7", "--rest-seconds", "5", "--write"]
    expect(readOptions(["1", "--per-second=4", ...fast, ...rest])).toEqual({
      length: { ms: 60_000 },
      perSecond: 4,
      mostAtATime: 8,
      isFast: true,
      ffmpeg: "/opt/ffmpeg",
      every: 100,
      seed: 7,
      restMs: 5000,
      write: true,
    })
  })

  for (const [wrong, sentence] of [
    [["soon"], "minutes must be a number from 0.1."],
    [["0"], "minutes must be a number from 0.1."],
    [["1", "2"], "Minutes must be one number."],
    [["1", "--turns", "5"], "Give either minutes or --turns."],
    [["--turns", "1.5"], "--turns must be a whole number."],
    [["--seed", "x"], "--seed must be a number from 1."],
    [["--at-a-time", "1.5"], "--at-a-time must be a whole number."],
    [["--every", "0"], "--every must be a number from 1."],
    [["--per-second", "0"], "--per-second must be a number from 0.1."],
    [["--turn", "1"], "--turn"],
  ] as const) {
    test(`refuse ${wrong.join(" ")}`, () => expect(() => readOptions(wrong)).toThrow(sentence))
  }
})
