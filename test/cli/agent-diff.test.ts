import { expect, test } from "bun:test"
import { diffLines } from "../../src/cli/agents/diff.ts"

const text = (lines: ReadonlyArray<string>) => `${lines.join("\n")}\n`
const numbers = (count: number) => Array.from({ length: count }, (_, number) => `${number}`)

test("equal texts have no lines", () => {
  expect(diffLines("", "")).toEqual([])
  expect(diffLines("a\nb\n", "a\nb\n")).toEqual([])
})

test("a new and a removed text are whole", () => {
  expect(diffLines("", "a\nb\n")).toEqual(["+ a", "+ b"])
  expect(diffLines("a\nb\n", "")).toEqual(["- a", "- b"])
})

test("two equal lines are around a difference", () => {
  const changed = numbers(20).map((line) => (line === "10" ? "ten" : line))
  expect(diffLines(text(numbers(20)), text(changed))).toEqual(["  8", "  9", "- 10", "+ ten", "  11", "  12"])
})

test("lines keep their beginning", () => {
  expect(diffLines("- a\n\\ b\n", "+ a\n\\ b\n")).toEqual(["- - a", "+ + a", "  \\ b"])
})

test("a small change of a long text is small", () => {
  const changed = [...numbers(12_000).slice(1), "end"]
  const lines = ["- 0", "  1", "  2", "  11998", "  11999", "+ end"]
  expect(diffLines(text(numbers(12_000)), text(changed))).toEqual(lines)
})

test("long texts that differ everywhere are whole", () => {
  const changed = numbers(12_000).map((line) => `${line}.`)
  const lines = diffLines(text(numbers(12_000)), text(changed))
  expect(lines).toHaveLength(24_000)
  expect(lines.at(0)).toBe("- 0")
  expect(lines.at(-1)).toBe("+ 11999.")
})
