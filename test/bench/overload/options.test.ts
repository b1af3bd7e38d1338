import { describe, expect, test } from "bun:test"
import { readOptions } from "../../../scripts/bench/overload/options.ts"
import { defaultMaxTurns, hostResources } from "../../../src/capacity.ts"

describe("the options of the overload", () => {
  test("default to three times this machine's capacity", () => {
    expect(readOptions([])).toEqual({
      times: 3,
      ms: 30_000,
      maxTurns: defaultMaxTurns(hostResources()),
      write: false,
    })
  })

  test("set each option", () => {
    expect(readOptions(["--times", "4.5", "--seconds=10", "--max-turns", "8", "--write"])).toEqual({
      times: 4.5,
      ms: 10_000,
      maxTurns: 8,
      write: true,
    })
  })

  for (const [wrong, sentence] of [
    [["--times", "0.5"], "--times must be a number from 1."],
    [["--seconds", "soon"], "--seconds must be a number from 1."],
    [["--max-turns", "0"], "--max-turns must be a number from 1."],
    [["--max-turns", "1.5"], "--max-turns must be a whole number."],
    [["--clients", "1"], "--clients"],
  ] as const) {
    test(`refuse ${wrong.join(" ")}`, () => expect(() => readOptions(wrong)).toThrow(sentence))
  }
})
