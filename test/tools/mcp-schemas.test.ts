import { expect, test } from "bun:test"
import { Effect, Schema } from "effect"
import { McpServer } from "../../src/tools/mcp/definition.ts"
import { McpFailed } from "../../src/tools/mcp/errors.ts"
import { makeMcpTools } from "../../src/tools/mcp/mcp-tool.ts"

const server = Schema.decodeUnknownSync(McpServer)({ type: "mcp", name: "s", url: "https://example.com/mcp" })
const parts = { server, connection: Effect.fail(new McpFailed({ kind: "unavailable" })), secrets: [] }

const nested = (levels: number) => {
  let schema: Record<string, unknown> = {}
  for (let level = 0; level < levels; level += 1) schema = { not: schema }
  return schema
}

test("tools with a huge or deep schema are left out", () => {
  const schemas = {
    usual: { type: "object", properties: {} },
    levels: nested(60),
    deep: nested(1000),
    // JSON.stringify overflows the stack.
    endless: nested(100_000),
    huge: { type: "object", properties: { a: { enum: Array.from({ length: 5000 }, (_, at) => `${at}`) } } },
  }
  const tools = Object.entries(schemas).map(([name, parameters]) => ({
    name,
    description: undefined,
    parameters: { ...parameters, type: "object" as const },
  }))
  expect(makeMcpTools(parts, tools).map(({ tool }) => tool.name)).toEqual(["s__usual", "s__levels"])
})
