import { expect, test } from "bun:test"
import { Option } from "effect"
import { resultText } from "../../src/tools/mcp/content.ts"
import { withPlainResult } from "../../src/tools/mcp/plain-result.ts"

const textOf = (result: Readonly<Record<string, unknown>>) =>
  Option.map(resultText(result), ({ output }) => output).pipe(Option.getOrElse(() => "no result"))

test("the first thousand parts are read", () => {
  const parts = (length: number) => Array.from({ length }, () => ({ type: "text" as const, text: "z" }))
  const lines = (length: number) => textOf({ content: parts(length) }).split("\n")
  expect(lines(1000)).toHaveLength(1000)
  expect(lines(150_000)).toHaveLength(1001)
  expect(lines(150_000).at(-1)).toBe("[The rest of the answer was left out.]")
})

test("parts that are none take no others with them", () => {
  const unknown = "[content of an unknown type, left out]"
  const wrong = [{}, 5, null, "text", [], { type: "text" }, { type: "text", text: 5 }, { type: "new" }]
  const content = [{ type: "text", text: "first" }, ...wrong, { type: "text", text: "last" }]
  expect(textOf({ content }).split("\n")).toEqual(["first", ...wrong.map(() => unknown), "last"])
})

test("what is no result of a call", () => {
  for (const content of [undefined, null, "text", {}, 5]) expect(textOf({ content })).toBe("no result")
})

test("the SDK gets what the service reads", () => {
  const wrong = Array.from({ length: 5000 }, () => ({}))
  const introduction = withPlainResult<unknown>({
    jsonrpc: "2.0",
    id: 1,
    result: {
      protocolVersion: "2025-06-18",
      capabilities: { tools: { listChanged: true, more: wrong }, experimental: { a: wrong } },
      serverInfo: { name: "x", version: "1", icons: wrong },
      _meta: { a: wrong },
    },
  })
  expect(introduction).toEqual({
    jsonrpc: "2.0",
    id: 1,
    result: {
      protocolVersion: "2025-06-18",
      capabilities: { tools: { listChanged: true } },
      serverInfo: { name: "x", version: "1" },
    },
  })
  const shortened = (result: object) =>
    JSON.stringify(withPlainResult({ jsonrpc: "2.0", id: 1, result })).length
  expect(shortened({ content: wrong, structuredContent: wrong, _meta: wrong })).toBeLessThan(50_000)
  expect(shortened({ tools: wrong, _meta: wrong })).toBeLessThan(5000)
  const others = [
    { jsonrpc: "2.0", method: "notifications/message" },
    { jsonrpc: "2.0", id: 1, error: {} },
  ]
  for (const message of others) expect(withPlainResult<unknown>(message)).toBe(message)
})
