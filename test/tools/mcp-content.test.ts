import { expect, test } from "bun:test"
import { resultText } from "../../src/tools/mcp/content.ts"

test("the first thousand parts are read", () => {
  const parts = (length: number) => Array.from({ length }, () => ({ type: "text" as const, text: "z" }))
  const lines = (length: number) =>
    resultText({ content: parts(length), structured: undefined, isError: false }).output.split("\n")
  expect(lines(1000)).toHaveLength(1000)
  expect(lines(150_000)).toHaveLength(1001)
  expect(lines(150_000).at(-1)).toBe("[The rest of the answer was left out.]")
})
