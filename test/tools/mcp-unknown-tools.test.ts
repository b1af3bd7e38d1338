import { expect, test } from "bun:test"
import { Option, Schema } from "effect"
import { McpServer } from "../../src/tools/mcp/definition.ts"
import { unknownTools } from "../../src/tools/mcp/unknown-tools.ts"

const decode = Schema.decodeUnknownSync(McpServer)

const fault = (filter: object, offered: ReadonlyArray<string>) =>
  Option.getOrElse(
    unknownTools(decode({ type: "mcp", name: "s", url: "https://mcp.test/", ...filter }), offered),
    () => "none",
  )

test.each([
  [{}, ["a"], "none"],
  [{ tools: [] }, ["a"], "none"],
  [{ tools: ["a"], idempotentTools: ["a"] }, ["a", "b"], "none"],
  [{ tools: ["A"] }, ["a", "b"], "Its MCP server has no tool called A. It has a, b."],
  [{ tools: ["a", "c", "d", "c"] }, ["a"], "Its MCP server has no tool called c, d. It has a."],
  [{ tools: ["s__a"] }, ["a"], "Its MCP server has no tool called s__a. It has a."],
  [{ idempotentTools: ["c"] }, ["a"], "Its MCP server has no tool called c. It has a."],
  [{ tools: ["a"] }, [], "Its MCP server has no tool called a. It has no tools."],
  [{ tools: ["a"] }, ["b\n\u001bc"], "Its MCP server has no tool called a. It has b c."],
])("names %j of %j", (filter, offered, sentence) => expect(fault(filter, offered)).toBe(sentence))

test("many long names", () => {
  const offered = Array.from({ length: 500 }, (_, at) => `${at}${"x".repeat(1000)}`)
  expect(fault({ tools: ["a"] }, offered)).toEndWith(" and 480 more.")
  expect(fault({ tools: ["a"] }, offered).length).toBeLessThan(1500)
})
