/** Agents of users in Realtime connections. */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { Schema } from "effect"
import { connectRealtime, type RealtimeClient } from "../support/realtime-client.ts"
import { type Service, startService } from "../support/service.ts"
import { until } from "../support/turns.ts"
import { expectProblem } from "./answers.ts"

let service: Service
let key = ""
let agentId = ""
beforeAll(async () => {
  service = await startService({ env: { AGENT_VOICES: "nova" } })
  key = await service.register()
  agentId = await made({
    name: "Ada",
    instructions: "You are Ada.",
    greeting: "Good morning.",
    tts: { voice: "nova" },
    tools: [{ type: "client", name: "open_door", description: "Opens the door." }],
  })
})
afterAll(() => service.stop())

const made = async (body: object) => {
  const answer = await service.call("POST", "/agents", { key, body })
  expect(answer.status).toBe(201)
  const { agent } = Schema.decodeUnknownSync(Schema.Struct({ agent: Schema.Struct({ id: Schema.String }) }))(
    await answer.json(),
  )
  return agent.id
}
const Session = Schema.Struct({ session: Schema.Struct({ id: Schema.String, instructions: Schema.String }) })
const sessionOf = async (client: RealtimeClient) =>
  Schema.decodeUnknownSync(Session)(await client.event(0)).session
const end = async (client: RealtimeClient) => {
  client.socket.close()
  await client.closed
}
const done = (client: RealtimeClient, count = 1) =>
  until(
    () => client.events.filter(({ type }) => type === "response.done")[count - 1],
    () => `a response among ${client.events.map(({ type }) => type).join(" ")}`,
  )

test("a new session has the agent, greets and continues with it", async () => {
  const client = await connectRealtime(service.url, key, { query: `?agent=${agentId}` })
  expect(await client.event(0)).toMatchObject({
    session: {
      instructions: "You are Ada.",
      audio: { output: { voice: "nova" } },
      tools: [{ type: "function", name: "open_door", description: "Opens the door." }],
    },
  })
  expect(await done(client)).toMatchObject({
    response: { status: "completed", output: [{ content: [{ transcript: "Good morning." }] }] },
  })
  expect(service.upstream.calls("llm")).toEqual([])
  const { id } = await sessionOf(client)
  await end(client)
  const stored = await service.call("GET", `/sessions/${id}`, { key })
  expect(await stored.json()).toMatchObject({ session: { agentId, agentVersion: 1 } })

  await service.call("PATCH", `/agents/${agentId}`, { key, body: { instructions: "You are Grace." } })
  const again = await connectRealtime(service.url, key, { query: `?session_id=${id}` })
  expect((await sessionOf(again)).instructions).toBe("You are Ada.")
  again.send({ type: "response.create", response: { output_modalities: ["text"] } })
  await done(again)
  const { messages, tools } = service.upstream.calls("llm").at(-1)?.request ?? {}
  expect(messages?.[0]).toMatchObject({ role: "system", content: "You are Ada." })
  expect(tools).toMatchObject([{ function: { name: "open_door" } }])
  await end(again)
})

test("a greeting without its value fails alone", async () => {
  const id = await made({ name: "Greeting", greeting: "Hello {{guest}}." })
  const client = await connectRealtime(service.url, key, { query: `?agent=${id}` })
  expect(await done(client)).toMatchObject({
    response: { status: "failed", status_details: { error: { code: "metadata_missing" } } },
  })
  client.send({ type: "response.create", response: { output_modalities: ["text"] } })
  expect(await done(client, 2)).toMatchObject({ response: { status: "completed" } })
  await end(client)
})

test("a client secret has its agent", async () => {
  const create = (body: object) => service.call("POST", "/realtime/client_secrets", { key, body })
  const answer = await create({ agent: agentId })
  const secret = Schema.decodeUnknownSync(
    Schema.Struct({ value: Schema.String, session: Schema.Struct({ instructions: Schema.String }) }),
  )(await answer.json())
  expect(secret.session.instructions).toBe("You are Grace.")
  const client = await connectRealtime(service.url, secret.value)
  expect((await sessionOf(client)).instructions).toBe("You are Grace.")
  await end(client)
  const other = await fetch(`${service.url}/realtime?agent=default`, {
    headers: {
      authorization: `Bearer ${secret.value}`,
      upgrade: "websocket",
      connection: "Upgrade",
      "sec-websocket-version": "13",
      "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    },
  })
  await expectProblem(other, {
    status: 400,
    code: "VALIDATION_ERROR",
    message: /^agent: a client secret has/,
  })

  const needing = await made({ name: "Needing", instructions: "{{guest}}" })
  await expectProblem(await create({ agent: needing }), {
    status: 400,
    code: "VALIDATION_ERROR",
    message: /^metadata\.guest: /,
  })
  await expectProblem(await create({ agent: crypto.randomUUID() }), { status: 404, code: "AGENT_NOT_FOUND" })
  const own = await create({ agent: agentId, session: { type: "realtime", instructions: "Be brief." } })
  expect(await own.json()).toMatchObject({ session: { instructions: "Be brief." } })
})
