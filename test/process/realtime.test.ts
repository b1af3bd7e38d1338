/** Realtime connections to services that are processes of their own: killed, stopped, and two on one database. */
import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test"
import { Predicate, Schema } from "effect"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { ffmpeg } from "../support/ffmpeg.ts"
import { cleanUpProcesses, startProcess } from "../support/process.ts"
import { connectRealtime, type RealtimeClient } from "../support/realtime-client.ts"
import { until } from "../support/turns.ts"
import { startUpstream, type Upstream } from "../support/upstream.ts"

let database: TestDatabase
let upstream: Upstream
beforeAll(async () => {
  database = await makeDatabase()
  upstream = await startUpstream()
})
beforeEach(() => upstream.reset())
afterAll(async () => {
  await cleanUpProcesses()
  await upstream.stop()
  await database.drop()
})

const story = "This is the first sentence of it. Here is the second one, which is a little longer."

const start = async () => {
  const service = startProcess({
    env: {
      NODE_ENV: "production",
      DATABASE_URL: database.url,
      OPENAI_API_KEY: "sk-test",
      OPENAI_BASE_URL: upstream.baseUrl,
    },
  })
  return { ...service, api: `${await service.url()}/api/v1` }
}

const Registered = Schema.Struct({ apiKey: Schema.String })
const Created = Schema.Struct({ session: Schema.Struct({ id: Schema.String }) })

const register = async (api: string): Promise<string> => {
  const answer = await fetch(`${api}/users/register`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ email: `${crypto.randomUUID()}@example.com` }),
  })
  return Schema.decodeUnknownSync(Registered)(await answer.json()).apiKey
}

const nth = (client: RealtimeClient, type: string, count = 1) =>
  until(
    () => client.events.filter((event) => event.type === type)[count - 1],
    () => `${type} number ${count}; there were ${client.events.map((event) => event.type).join(", ")}`,
  )

const sessionOf = async (client: RealtimeClient): Promise<string> =>
  Schema.decodeUnknownSync(Created)(await nth(client, "session.created")).session.id

const statuses = (client: RealtimeClient) =>
  client.events.flatMap(({ type, response }) =>
    type === "response.done" && Predicate.hasProperty(response, "status") ? [response.status] : [],
  )

const say = (text: string) => ({
  type: "conversation.item.create",
  item: { type: "message", role: "user", content: [{ type: "input_text", text }] },
})
const respond = { type: "response.create" }

const speech = Buffer.concat([
  await ffmpeg(["-i", "examples/question.wav", "-f", "s16le", "-ar", "24000", "-"]),
  Buffer.alloc(48_000),
])
const speak = (client: RealtimeClient) => {
  for (let at = 0; at < speech.length; at += 4800) {
    const audio = speech.subarray(at, at + 4800).toString("base64")
    client.send({ type: "input_audio_buffer.append", audio })
  }
}

const lastPrompt = () =>
  upstream
    .calls("llm")
    .at(-1)
    ?.request.messages.slice(1)
    .map(({ role, content }) => `${role}: ${content}`)

/** Turns of a killed process count as running until their lease ends, 15 s later. */
const endLeases = () =>
  database.sql`update turns set lease_until = least(lease_until, now() + interval '500 ms') where state = 'running'`

test("killed in a response: another process goes on with what was said", async () => {
  const [first, second] = await Promise.all([start(), start()])
  const key = await register(first.api)
  const client = await connectRealtime(first.api, key)
  const sessionId = await sessionOf(client)
  speak(client)
  await nth(client, "response.done")
  upstream.script("llm", [{ text: story, chunkDelayMs: 5 }])
  upstream.default("tts", { realTimeFactor: 1 })
  client.send(say("Tell me a story."))
  client.send(respond)
  await nth(client, "response.created", 2)
  const heard = client.events.filter(({ type }) => type === "response.output_audio.delta").length
  await nth(client, "response.output_audio.delta", heard + 5)
  first.signal("SIGKILL")
  expect(await first.ended).toBe("SIGKILL")
  expect(await client.closed).toMatchObject({ code: 1006 })

  upstream.default("tts", {})
  const again = await connectRealtime(second.api, key, { query: `?session_id=${sessionId}` })
  expect(await sessionOf(again)).toBe(sessionId)
  await endLeases()
  again.send(say("Where were we?"))
  again.send(respond)
  await nth(again, "response.done")
  expect(statuses(again)).toEqual(["completed"])
  const prompt = lastPrompt()?.join("\n")
  expect(prompt).toMatch(/Hello, can you hear me\?.*Yes, I can hear you.*Tell me a story\..*Where were we\?/s)
  expect(prompt).not.toContain("second one")
  again.socket.close()
  second.signal("SIGTERM")
  expect(await second.ended).toBe(0)
}, 60_000)

test("a connection to another process takes the session over, and knows what was heard", async () => {
  const [first, second] = await Promise.all([start(), start()])
  const key = await register(first.api)
  const one = await connectRealtime(first.api, key)
  const sessionId = await sessionOf(one)
  one.send(say("I am Ada."))
  one.send(respond)
  await nth(one, "response.done")

  // The second process is asked while the first one still answers.
  upstream.script("llm", [{ text: story, chunkDelayMs: 20 }, { text: "The answer to two." }])
  upstream.default("tts", { realTimeFactor: 1 })
  one.send(say("Question one."))
  one.send(respond)
  const heard = one.events.filter(({ type }) => type === "response.output_audio.delta").length
  await nth(one, "response.output_audio.delta", heard + 3)
  const two = await connectRealtime(second.api, key, { query: `?session_id=${sessionId}` })
  await sessionOf(two)
  two.send(say("Question two."))
  two.send(respond)
  await nth(two, "response.done")
  expect(await one.closed).toEqual({ code: 1008, reason: "session_taken_over" })
  expect([...statuses(one), ...statuses(two)]).toEqual(["completed", "cancelled", "completed"])
  const prompt = lastPrompt()?.join("\n")
  expect(prompt).toMatch(/I am Ada\..*Yes, I can hear you.*Question one\..*Question two\./s)
  expect(prompt).not.toContain("a little longer")
  two.socket.close()
  for (const service of [first, second]) service.signal("SIGTERM")
  expect(await Promise.all([first.ended, second.ended])).toEqual([0, 0])
}, 60_000)

test("SIGTERM lets the response end, tells each client, and closes", async () => {
  const service = await start()
  const key = await register(service.api)
  const [busy, silent] = await Promise.all([
    connectRealtime(service.api, key),
    connectRealtime(service.api, key),
  ])
  upstream.script("llm", [{ text: story, chunkDelayMs: 30 }])
  busy.send(say("Tell me a story."))
  busy.send(respond)
  await nth(busy, "response.output_audio.delta")
  service.signal("SIGTERM")
  expect(await silent.closed).toEqual({ code: 1001, reason: "server_shutdown" })
  expect(silent.events.at(-1)).toMatchObject({ type: "error", error: { code: "server_shutdown" } })
  expect(await busy.closed).toEqual({ code: 1001, reason: "server_shutdown" })
  expect(statuses(busy)).toEqual(["completed"])
  expect(busy.events.slice(-2).map(({ type }) => type)).toEqual(["response.done", "error"])
  expect(await service.ended).toBe(0)
  const [turn] = await database.sql`select state from turns order by created_at desc limit 1`
  expect(turn.state).toBe("completed")
}, 60_000)
