/** HTTP tools and MCP servers in turns of the service. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test"
import * as BunFileSystem from "@effect/platform-bun/BunFileSystem"
import { ConfigProvider, Effect, Layer, ManagedRuntime, Redacted, Schema } from "effect"
import { Settings } from "../../src/config.ts"
import { makeOutbound, Outbound } from "../../src/outbound/outbound.ts"
import { newId, UserId } from "../../src/schema.ts"
import { HttpTool } from "../../src/tools/http/definition.ts"
import { makeHttpTool } from "../../src/tools/http/http-tool.ts"
import { McpServer } from "../../src/tools/mcp/definition.ts"
import { McpServers } from "../../src/tools/mcp/mcp-servers.ts"
import { wav16k } from "../support/audio.ts"
import { type McpHttpServer, startMcpHttpServer } from "../support/mcp-http-server.ts"
import { startToolServer, type ToolServer } from "../support/tool-server.ts"
import { startTurns, type TurnService } from "../support/turns.ts"

const outbound = makeOutbound({ allowedNetworks: ["127.0.0.1"], blockedNetworks: [], isHttpAllowed: false })
const servers = ManagedRuntime.make(
  McpServers.layer.pipe(
    Layer.provide(Layer.succeed(Outbound, outbound)),
    Layer.provide(Settings.layer),
    Layer.provide(BunFileSystem.layer),
    Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map()))),
  ),
)
const readSecret = () => Effect.succeedSome(Redacted.make("k-123456"))

let orders: ToolServer
let mcp: McpHttpServer
let service: TurnService
let user = ""
let recording = new Blob([])
beforeAll(async () => {
  orders = await startToolServer((out, { path }) => {
    if (path.startsWith("/orders/7"))
      out.writeHead(200, { "content-type": "application/json" }).end('{ "state": "sent" }')
    else out.destroy()
  })
  mcp = startMcpHttpServer({ protocol: "sessions" })
  const order = makeHttpTool(
    Schema.decodeUnknownSync(HttpTool)({
      type: "http",
      name: "order",
      parameters: { type: "object", properties: { id: { type: "string" } }, required: ["id"] },
      method: "POST",
      url: `${orders.url}/orders/{id}`,
      headers: { authorization: "Bearer {{secret:KEY}}" },
    }),
    { outbound, readSecret },
  )
  const others = await servers.runPromise(
    Effect.flatMap(McpServers, ({ toolsOf }) =>
      toolsOf(
        newId(UserId),
        Schema.decodeUnknownSync(McpServer)({ type: "mcp", name: "shop", url: mcp.url }),
        readSecret,
      ),
    ),
  )
  service = await startTurns({ tools: [order, ...others] })
  user = await service.register()
  recording = new Blob([await wav16k()])
})
afterAll(async () => {
  await service.stop()
  await servers.dispose()
  await orders.stop()
  await mcp.stop()
})
beforeEach(() => service.reset())
afterEach(() => service.nothingLeft())

const reply = "Here you are."

/** A turn whose model calls a tool. Returns what the model was told of it. */
const take = async (name: string, values: object) => {
  service.upstream.script("llm", [
    { text: "", toolCalls: [{ id: "call_1", name, arguments: JSON.stringify(values) }] },
    { text: reply },
  ])
  const answer = await service.converse(user, recording, { accept: "application/json" })
  expect([answer.status, await answer.json()]).toMatchObject([200, { response: reply }])
  const last = service.upstream.calls("llm").at(-1)
  return last?.request.messages.findLast(({ role }) => role === "tool")?.content
}

test("an HTTP tool", async () => {
  expect(await take("order", { id: "7" })).toBe('{"state":"sent"}')
  expect(orders.requests).toHaveLength(1)
  expect(orders.requests[0]).toMatchObject({
    path: "/orders/7",
    headers: { authorization: "Bearer k-123456" },
  })
  expect(orders.requests[0]?.headers["idempotency-key"]).toMatch(/^[0-9a-f-]{36}$/)
})

test("an HTTP tool that breaks off is told to the model, and called once", async () => {
  const before = orders.requests.length
  expect(await take("order", { id: "8" })).toBe(
    "The tool failed. The connection to the server ended before its answer did. Whether the call was carried out is unknown.",
  )
  expect(orders.requests).toHaveLength(before + 1)
})

test("arguments that do not fit reach no server", async () => {
  const before = orders.requests.length
  expect(await take("order", { id: 7 })).toContain("do not fit")
  expect(orders.requests).toHaveLength(before)
})

test("a tool of an MCP server", async () => {
  expect(await take("shop__echo", { text: "hello" })).toBe("hello")
  const key = await take("shop__count", {})
  expect(mcp.counted).toEqual([key])
})

test("an MCP server that dies in a call", async () => {
  expect(await take("shop__dies", {})).toContain("Whether the call was carried out is unknown.")
})
