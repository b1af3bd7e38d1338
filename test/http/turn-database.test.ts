import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { wav16k } from "../support/audio.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts"
import { startTurns, type TurnService } from "../support/turns.ts"

let database: TestDatabase
let proxy: TcpProxy
let service: TurnService
let key = ""
let recording: Uint8Array = new Uint8Array()
beforeAll(async () => {
  database = await makeDatabase()
  proxy = await startTcpProxy(database.url)
  service = await startTurns({ database, speed: 20, env: { DATABASE_URL: proxy.url } })
  key = await service.register()
  recording = await wav16k()
})
afterAll(async () => {
  await service.stop()
  await proxy.stop()
  await database.drop()
})
beforeEach(() => {
  service.reset()
  service.upstream.default("tts", { seconds: 1, chunkBytes: 2000, chunkDelayMs: 15 })
})
afterEach(async () => {
  proxy.restore()
  await service.nothingLeft()
})

/** What can happen to the database when the turn is to be saved. */
const losses: ReadonlyArray<readonly [string, () => void]> = [
  ["is gone", () => proxy.cut()],
  ["does not answer", () => proxy.stall()],
  ["goes before the session is stored", () => proxy.breakOn(/insert into "?sessions/i, "before")],
  ["goes after the session is stored", () => proxy.breakOn(/insert into "?sessions/i, "after")],
  ["goes before the messages are stored", () => proxy.breakOn(/insert into "?messages/i, "before")],
  ["goes after the messages are stored", () => proxy.breakOn(/insert into "?messages/i, "after")],
  ["goes before the commit", () => proxy.breakOn(/^commit/i, "before")],
]

describe.each(losses)("the database %s when the turn is to be saved", (_, lose) => {
  test("the speech breaks off, and nothing is half saved", async () => {
    const before = await service.stored()
    const client = await service.converseRaw(key, recording)
    await client.until(({ body }) => body.length > 0)
    lose()
    const answer = await client.answer()
    expect({ status: answer.status, whole: answer.whole }).toEqual({ status: 200, whole: false })
    proxy.restore()
    await service.nothingLeft()
    const { sessions, messages } = await service.stored()
    // What was heard is saved as soon as the database is back, if that is soon.
    expect([0, 1]).toContain(sessions - before.sessions)
    expect(messages - before.messages).toBe(2 * (sessions - before.sessions))
    const whole = await database.sql`select 1 from messages where role = 'assistant' and not interrupted`
    expect(whole).toHaveLength(0)
  })

  test("JSON has its status instead", async () => {
    const before = await service.stored()
    const asked = service.converse(key, new Blob([recording]), { accept: "application/json" })
    await service.upstream.waitFor(() => service.upstream.calls("tts")[0])
    lose()
    const answer = await asked
    expect(answer.status).toBe(503)
    expect(answer.headers.get("retry-after")).toBe("1")
    expect(await answer.json()).toMatchObject({ error: "DATABASE_UNAVAILABLE", retryAfter: 1 })
    proxy.restore()
    await service.nothingLeft()
    expect(await service.stored()).toEqual(before)
  })
})

test("the commit's answer is lost: the end is not clean, and the turn is saved whole or not at all", async () => {
  const before = await service.stored()
  const client = await service.converseRaw(key, recording)
  await client.until(({ body }) => body.length > 0)
  proxy.breakOn(/^commit/i, "after")
  expect((await client.answer()).whole).toBe(false)
  const after = await service.stored()
  expect([0, 2]).toContain(after.messages - before.messages)
  expect(after.messages - before.messages).toBe(2 * (after.sessions - before.sessions))
})

test("a connection that was lost between turns is not noticed", async () => {
  proxy.drop()
  const answer = await service.converse(key, new Blob([recording]))
  expect(answer.status).toBe(200)
  await answer.bytes()
})

test("a database that hangs is given up before the turn begins, and for every other request", async () => {
  proxy.stall()
  const answers = await Promise.all([
    service.converse(key, new Blob([recording])),
    service.call("GET", "/sessions", { key }),
  ])
  for (const answer of answers) {
    expect(answer.status).toBe(503)
    expect(await answer.json()).toMatchObject({ error: "DATABASE_UNAVAILABLE", retryAfter: 1 })
  }
  expect(service.upstream.calls("stt")).toEqual([])
})
