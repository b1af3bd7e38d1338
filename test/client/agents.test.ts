import { afterAll, beforeAll, expect, test } from "bun:test"
import { makeClient } from "../../src/client/client.ts"
import { startTurns, type TurnService } from "../support/turns.ts"
import { startWire, type Wire } from "./wire.ts"

let service: TurnService
let wire: Wire
let apiKey = ""
beforeAll(async () => {
  service = await startTurns()
  wire = await startWire(service.url)
  apiKey = await service.register()
})
afterAll(async () => {
  await wire.stop()
  await service.stop()
})

const make = () => makeClient({ baseUrl: wire.url, apiKey, pauseMs: 1 })

test("create, read, change, list and delete", async () => {
  const { agents } = make()
  const definition = {
    name: "Ada",
    instructions: "You are Ada.",
    tools: [
      {
        type: "http",
        name: "order",
        url: "https://example.com/orders",
        headers: { authorization: "Bearer {{secret:KEY}}" },
        parameters: { type: "object", properties: { id: { type: "string" } } },
      },
      { type: "mcp", name: "shop", url: "https://example.com/mcp" },
      { type: "client", name: "open_door", parameters: { type: "object", properties: {} } },
    ],
  } as const
  const made = await agents.create(definition)
  expect(made).toMatchObject({ ...definition, version: 1 })
  // A change also tries the MCP server.
  const { warnings, ...agent } = made
  const toSet = { field: "tools.0", message: expect.stringContaining("the secret KEY") }
  expect(warnings?.[0]).toEqual(toSet)
  expect(await agents.get(made.id)).toEqual({ ...agent, warnings: [toSet] })
  const changed = await agents.update(made.id, { ...made, instructions: null, version: 1 })
  expect([changed.version, changed.instructions, changed.tools]).toEqual([2, undefined, made.tools])
  await expect(agents.update(made.id, { greeting: "Hello.", version: 1 })).rejects.toMatchObject({
    code: "AGENT_CHANGED",
  })
  expect((await agents.versions(made.id, { limit: 1 })).map(({ version }) => version)).toEqual([2])
  expect((await agents.list()).map(({ id }) => id)).toEqual(["default", made.id])
  expect(await agents.get("default")).toMatchObject({ version: null, name: "Default" })
  await agents.delete(made.id)
  await expect(agents.get(made.id)).rejects.toMatchObject({ code: "AGENT_NOT_FOUND" })
})

test("an agent that is created over a lost connection is one agent", async () => {
  const { agents } = make()
  wire.reset()
  wire.breakAfter(1)
  const { id } = await agents.create({ name: "Once" })
  expect(wire.broken()).toBe(1)
  expect((await agents.list()).filter(({ name }) => name === "Once")).toMatchObject([{ id }])
})

test("a turn names its agent", async () => {
  const client = make()
  const { id } = await client.agents.create({ name: "Grace", instructions: "You are Grace." })
  const { sessionId } = await client.converse("Hello", { agentId: id })
  expect(await client.sessions.get(sessionId)).toMatchObject({ agentId: id, agentVersion: 1 })
  const instructions = () => service.upstream.calls("llm").at(-1)?.request.messages[0]?.content
  expect(instructions()).toBe("You are Grace.")
  await client.converse("Hello", { sessionId, agentId: "default" })
  expect(instructions()).not.toBe("You are Grace.")
})
