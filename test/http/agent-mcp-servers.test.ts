/** MCP servers of a user's agent, over HTTP. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test"
import { Schema } from "effect"
import { type McpHttpServer, startMcpHttpServer } from "../support/mcp-http-server.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"

let service: TurnService
let mcp: McpHttpServer
let key = ""
beforeAll(async () => {
  service = await startTurns({
    env: {
      OUTBOUND_ALLOWED_NETWORKS: "127.0.0.1",
      ENCRYPTION_KEY: Buffer.alloc(32, 1).toString("base64"),
    },
  })
})
afterAll(() => service.stop())
beforeEach(async () => {
  service.reset()
  mcp = startMcpHttpServer({ protocol: "sessions" })
  key = await service.register()
})
afterEach(async () => {
  await service.nothingLeft()
  await mcp.stop()
})

const Ids = Schema.Struct({ agent: Schema.Struct({ id: Schema.String }) })
const SessionId = Schema.Struct({ sessionId: Schema.String })

/** A session of an agent with the server. */
const opened = async (server: object = {}) => {
  const tools = [{ type: "mcp", name: "shop", url: mcp.url, ...server }]
  const made = await service.call("POST", "/agents", { key, body: { name: "A", tools } })
  const { agent } = Schema.decodeUnknownSync(Ids)(await made.json())
  const answer = await service.call("POST", "/sessions", { key, body: { agentId: agent.id } })
  return Schema.decodeUnknownSync(SessionId)(await answer.json()).sessionId
}

const reply = "Here you are."

/** A turn. Returns what the model was offered, and what it was told of its call. */
const say = async (session: string, call?: readonly [name: string, values: object]) => {
  const rounds =
    call === undefined
      ? []
      : [{ text: "", toolCalls: [{ id: "c1", name: call[0], arguments: JSON.stringify(call[1]) }] }]
  service.upstream.script("llm", [...rounds, { text: reply }])
  const answer = await service.call("POST", `/sessions/${session}/messages?audio=false`, {
    key,
    body: { text: "Hello" },
    headers: { accept: "application/json" },
  })
  expect([answer.status, await answer.json()]).toMatchObject([200, { response: reply }])
  const { tools = [], messages } = service.upstream.calls("llm").at(-1)?.request ?? { messages: [] }
  return { tools, told: messages.findLast(({ role }) => role === "tool")?.content }
}
const named = (tools: Awaited<ReturnType<typeof say>>["tools"], name: string) =>
  tools.find((tool) => tool.function.name === name)?.function

test("lists and calls, with a secret, by prefixed names", async () => {
  await service.call("PUT", "/users/me/secrets/SHOP", { key, body: { value: "s-123456" } })
  const session = await opened({ headers: { authorization: "Bearer {{secret:SHOP}}" } })
  const { tools, told } = await say(session, ["shop__echo", { text: "hello" }])
  expect(told).toBe("hello")
  expect(tools.every((tool) => tool.function.name.startsWith("shop__"))).toBe(true)
  expect(named(tools, "shop__echo")).toMatchObject({ parameters: { required: ["text"] } })
  expect(mcp.requests.every((headers) => headers.get("authorization") === "Bearer s-123456")).toBe(true)
  expect((await say(session, ["shop__echo", { text: 7 }])).told).toContain("do not fit")
})

test("only the tools of the filter", async () => {
  const session = await opened({ tools: ["echo", "count", "missing"] })
  const { tools, told } = await say(session, ["shop__count", {}])
  expect(tools.map((tool) => tool.function.name)).toEqual(["shop__echo", "shop__count"])
  expect(mcp.counted).toEqual([told])
})

test("a server that dies in a call: the outcome is unknown", async () => {
  const session = await opened()
  const { told } = await say(session, ["shop__dies", {}])
  expect(told).toContain("Whether the call was carried out is unknown.")
  const items = await service.database.sql`select payload from items 
    where type = 'tool_result' and session_id = ${session}`
  expect(items).toHaveLength(1)
})

test("a schema that changes between two turns", async () => {
  const session = await opened()
  const before = await say(session, ["shop__change", {}])
  expect(before.told).toBe("changed")
  expect(named(before.tools, "shop__changing")).toMatchObject({ parameters: { required: ["one"] } })
  await until(async () => {
    const { tools } = await say(session)
    return named(tools, "shop__changing")?.description === "Version 2"
  }, "the changed tool")
  const { tools, told } = await say(session, ["shop__changing", { one: "a" }])
  expect(named(tools, "shop__changing")).toMatchObject({ parameters: { required: ["two"] } })
  expect(told).toContain("must have the property two")
  expect((await say(session, ["shop__changing", { two: "a" }])).told).toBe("1")
})

const Warned = Schema.Struct({
  agent: Schema.Struct({ id: Schema.String }),
  warnings: Schema.optional(Schema.Array(Schema.Struct({ field: Schema.String, message: Schema.String }))),
})
const warned = async (method: "POST" | "PATCH" | "GET", path: string, body?: object) => {
  const answer = await service.call(method, path, { key, ...(body === undefined ? {} : { body }) })
  expect(answer.status).toBeLessThan(300)
  return Schema.decodeUnknownSync(Warned)(await answer.json())
}

test("a server without its secret says so, until it has it", async () => {
  const shop = { type: "mcp", name: "shop", url: mcp.url, headers: { authorization: "{{secret:SHOP}}" } }
  const http = { type: "http", name: "order", url: mcp.url, headers: { authorization: "{{secret:SHOP}}" } }
  const made = await warned("POST", "/agents", { name: "A", tools: [shop, http] })
  const message = "The tool needs the secret SHOP. Its owner has to set it."
  const toSet = "The tool needs the secret SHOP. Set it with PUT /users/me/secrets/SHOP."
  const missing = ["tools.0", "tools.1"].map((field) => ({ field, message: toSet }))
  expect(made.warnings).toEqual(missing)
  expect((await warned("GET", `/agents/${made.agent.id}`)).warnings).toEqual(missing)
  const { sessionId } = Schema.decodeUnknownSync(SessionId)(
    await (await service.call("POST", "/sessions", { key, body: { agentId: made.agent.id } })).json(),
  )
  const without = await say(sessionId, ["shop__echo", { text: "a" }])
  expect(without.tools.map((tool) => tool.function.name)).toEqual(["shop__unavailable", "order"])
  // The model knows the name of the tool from before.
  expect(without.told).toBe(`The tool failed. ${message}`)
  expect((await say(sessionId, ["order", {}])).told).toBe(message)

  await service.call("PUT", "/users/me/secrets/SHOP", { key, body: { value: "s-123456" } })
  expect((await warned("GET", `/agents/${made.agent.id}`)).warnings).toBeUndefined()
  expect((await warned("PATCH", `/agents/${made.agent.id}`, {})).warnings).toBeUndefined()
  expect((await say(sessionId, ["shop__echo", { text: "a" }])).told).toBe("a")
  await service.call("DELETE", "/users/me/secrets/SHOP", { key })
  expect((await warned("GET", `/agents/${made.agent.id}`)).warnings).toEqual(missing)
  expect((await say(sessionId, ["order", {}])).told).toBe(message)
})

test("a server that cannot be reached is a warning of a change", async () => {
  await mcp.stop()
  const made = await warned("POST", "/agents", {
    name: "A",
    tools: [{ type: "mcp", name: "shop", url: mcp.url }],
  })
  const message = "Its MCP server cannot be used. The server cannot be reached."
  expect(made.warnings).toEqual([{ field: "tools.0", message }])
  expect((await warned("GET", `/agents/${made.agent.id}`)).warnings).toBeUndefined()
})
