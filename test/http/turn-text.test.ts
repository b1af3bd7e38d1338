import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { Schema } from "effect"
import { wav16k } from "../support/audio.ts"
import { startTurns, type TurnService } from "../support/turns.ts"
import { fail } from "../support/upstream.ts"

let service: TurnService
let key = ""
let sessionId = ""
const openSession = async () => {
  const answer = await service.call("POST", "/sessions", { key })
  return Schema.decodeUnknownSync(Schema.Struct({ sessionId: Schema.String }))(await answer.json()).sessionId
}
beforeAll(async () => {
  service = await startTurns({ speed: 20 })
  key = await service.register()
})
afterAll(() => service.stop())
beforeEach(async () => {
  service.reset()
  sessionId = await openSession()
})
afterEach(() => service.nothingLeft())

const say = (
  text: unknown,
  { accept = "application/json", query = "", id = sessionId, headers = {}, by = key } = {},
) =>
  service.call("POST", `/sessions/${id}/messages${query}`, {
    key: by,
    body: { text },
    headers: { accept, ...headers },
  })
const messages = () =>
  service.database
    .sql`select role, content, interrupted from messages where session_id = ${sessionId} order by sequence`
const asked = () => [service.upstream.calls("stt"), service.upstream.calls("tts")].map(({ length }) => length)

test("a text turn calls no STT", async () => {
  const answer = await say("  How are you?\n")
  expect(answer.status).toBe(200)
  const turn = await answer.json()
  expect(turn).toMatchObject({
    sessionId,
    transcript: "How are you?",
    response: expect.any(String),
    audio: { format: "mp3", base64: expect.any(String) },
    usage: { audioSeconds: 0 },
  })
  expect(service.upstream.calls("stt")).toEqual([])
  expect(service.upstream.calls("llm")[0]?.request.messages.at(-1)).toEqual({
    role: "user",
    content: "How are you?",
  })
  expect([...(await messages())]).toMatchObject([
    { role: "user", content: "How are you?" },
    { role: "assistant" },
  ])
})

test.each(["audio/mpeg", "audio/wav", "text/event-stream"])("as %s", async (accept) => {
  const answer = await say("Hello.", { accept })
  expect(answer.status).toBe(200)
  expect(answer.headers.get("content-type")).toStartWith(accept)
  expect(answer.headers.get("x-session-id")).toBe(sessionId)
  expect((await answer.bytes()).length).toBeGreaterThan(100)
})

test("text and speech are one conversation", async () => {
  await (await say("My name is Ada.")).bytes()
  await (await service.converse(key, new Blob([await wav16k()]), { sessionId })).bytes()
  const [, second] = service.upstream.calls("llm")
  expect(second?.request.messages.map(({ role }) => role)).toEqual(["system", "user", "assistant", "user"])
  expect(second?.request.messages[1]?.content).toBe("My name is Ada.")
})

describe("?audio=false: no TTS call", () => {
  test("as JSON", async () => {
    const answer = await say("Hello.", { query: "?audio=false" })
    expect(await answer.json()).toMatchObject({ audio: null, usage: { charactersSpoken: 0 } })
    expect(asked()).toEqual([0, 0])
    expect(await messages()).toHaveLength(2)
  })

  test("as events", async () => {
    service.upstream.default("llm", { text: "I am fine. And you?" })
    const body = await (await say("Hello.", { query: "?audio=false", accept: "text/event-stream" })).text()
    expect(body).not.toContain("event: audio")
    expect(body).toContain('"response":"I am fine. And you?"')
    expect(asked()).toEqual([0, 0])
  })

  test("a model that breaks off: an error, the sent text is saved", async () => {
    service.upstream.default("llm", {
      text: "I am fine. And you are too. ".repeat(5),
      chunkDelayMs: 4,
      ...fail.reset({ tokens: 25 }),
    })
    const body = await (await say("Hello.", { query: "?audio=false", accept: "text/event-stream" })).text()
    expect(body).toContain('"error":"LLM_FAILED"')
    const [, reply] = await messages()
    expect(reply).toMatchObject({ interrupted: true })
    expect(reply.content).toStartWith("I am fine.")
  })

  test.each(["audio/mpeg", "audio/*", "audio/pcm"])("%s is rejected", async (accept) => {
    const answer = await say("Hello.", { query: "?audio=false", accept })
    expect(answer.status).toBe(400)
    expect(await answer.json()).toMatchObject({
      error: "VALIDATION_ERROR",
      message: expect.stringContaining("audio"),
    })
  })
})

test.each([
  ["", "text"],
  ["   ", "text"],
  ["x".repeat(4097), "text"],
  [7, "text"],
  [null, "text"],
  ["a\0b", "text"],
  ["\ud800", "text"],
])("text %p is rejected by name", async (text, field) => {
  const answer = await say(text)
  expect(answer.status).toBe(400)
  expect(await answer.json()).toMatchObject({
    error: "VALIDATION_ERROR",
    message: expect.stringContaining(field),
  })
  expect(service.upstream.calls("llm")).toEqual([])
})

test("the session must exist, be the user's and not be expired", async () => {
  const other = await service.register()
  for (const [id, by] of [
    [crypto.randomUUID(), key],
    ["x", key],
    [sessionId, other],
  ] as const) {
    const answer = await say("Hello.", { id, by })
    expect(answer.status).toBe(404)
    expect(await answer.json()).toMatchObject({ error: "SESSION_NOT_FOUND" })
  }
  await service.database
    .sql`update sessions set last_activity_at = now() - interval '31 minutes' where id = ${sessionId}`
  const expired = await say("Hello.")
  expect(expired.status).toBe(409)
  expect(await expired.json()).toMatchObject({ error: "SESSION_EXPIRED" })
  expect(service.upstream.calls("llm")).toEqual([])
})

test("an Idempotency-Key is for one text and audio setting", async () => {
  const headers = { "idempotency-key": crypto.randomUUID() }
  const first = await (await say("Hello.", { headers, query: "?audio=false" })).json()
  expect(await (await say("Hello.", { headers, query: "?audio=false" })).json()).toEqual(first)
  expect(service.upstream.calls("llm")).toHaveLength(1)
  expect((await say("Hello!", { headers, query: "?audio=false" })).status).toBe(422)
  expect((await say("Hello.", { headers })).status).toBe(422)
})

test.each(["", "?audio=false"])(
  "a replay has the timings of the stages that the turn had: %p",
  async (query) => {
    const headers = { "idempotency-key": crypto.randomUUID() }
    const timing = async () => {
      const answer = await say("Hello.", { headers, query })
      await answer.bytes()
      return (answer.headers.get("server-timing") ?? "").split(", ")
    }
    const first = await timing()
    expect(await timing()).toEqual(first)
    const names = query === "" ? ["upload", "llm_ttft", "tts_ttfb", "first_audio"] : ["upload", "llm_ttft"]
    expect(first.map((each) => each.split(";")[0])).toEqual(names)
  },
)

test("a retry works after the session has expired", async () => {
  const headers = { "idempotency-key": crypto.randomUUID() }
  const first = await (await say("Hello.", { headers })).json()
  await service.database
    .sql`update sessions set last_activity_at = now() - interval '2 hours' where id = ${sessionId}`
  const again = await say("Hello.", { headers })
  expect(again.headers.get("idempotent-replayed")).toBe("true")
  expect(await again.json()).toEqual(first)
  expect((await say("Hello.")).status).toBe(409)
})

test("accepts a form, and no other type", async () => {
  const send = (type: string, body: string) =>
    fetch(`${service.url}/sessions/${sessionId}/messages?audio=false`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": type, accept: "application/json" },
      body,
    })
  expect(await (await send("application/x-www-form-urlencoded", "text=How+are+you%3F")).json()).toMatchObject(
    {
      transcript: "How are you?",
    },
  )
  expect((await send("text/plain", "Hello")).status).toBe(415)
})
