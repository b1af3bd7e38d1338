import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { wav16k } from "../support/audio.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { noTurnRuns } from "../support/sessions.ts"
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
  await noTurnRuns(service)
})

const saving = [
  ["goes before the session is stored", /insert into "?sessions/i, "before"],
  ["goes after the session is stored", /insert into "?sessions/i, "after"],
  ["goes before the items are stored", /insert into "?items/i, "before"],
  ["goes after the items are stored", /insert into "?items/i, "after"],
  ["goes before the commit", /^commit/i, "before"],
] as const

describe.each([...saving, ["goes with the commit's answer", /^commit/i, "after"] as const])(
  "the database %s once",
  (_, statement, when) => {
    test.each(["audio/mpeg", "application/json"])("%s is complete and saved once", async (accept) => {
      const before = await service.stored()
      const client = await service.converseRaw(key, recording, accept)
      await service.upstream.waitFor(() => service.upstream.calls("tts")[0])
      proxy.breakOn(statement, when)
      const { status, whole, headers } = await client.answer()
      expect({ status, whole }).toEqual({ status: 200, whole: true })
      const { sessions, messages } = await service.stored()
      expect([sessions - before.sessions, messages - before.messages]).toEqual([1, 2])
      const [turn] =
        await database.sql`select state from turns where session_id = ${headers.get("x-session-id")}`
      expect(turn).toEqual({ state: "completed" })
      client.leave()
    })
  },
)

/** Database failures during the save of a turn. */
const losses: ReadonlyArray<readonly [string, () => void]> = [
  ["is gone", () => proxy.cut()],
  ["does not answer", () => proxy.stall()],
  ...saving.map(
    ([what, statement, when]) =>
      [`${what}, and again when that is repeated`, () => proxy.breakOn(statement, when, 2)] as const,
  ),
]

describe.each(losses)("the database %s during the save", (_, lose) => {
  test("the audio is aborted, and nothing is half saved", async () => {
    const before = await service.stored()
    const client = await service.converseRaw(key, recording)
    await client.until(({ body }) => body.length > 0)
    lose()
    const answer = await client.answer()
    expect({ status: answer.status, whole: answer.whole }).toEqual({ status: 200, whole: false })
    proxy.restore()
    // The heard part is saved when the database is back.
    await noTurnRuns(service)
    const { sessions, messages } = await service.stored()
    expect([sessions - before.sessions, messages - before.messages]).toEqual([1, 2])
    const [turn] =
      await database.sql`select turns.state, interrupted from turns join messages on turn_id = turns.id
      where turns.id = ${answer.headers.get("x-turn-id")} and role = 'assistant'`
    expect(turn).toEqual({ state: "interrupted", interrupted: true })
  })

  test("JSON gets the status", async () => {
    const before = await service.stored()
    service.upstream.script("tts", [{ delayMs: 300 }])
    const asked = service.converse(key, new Blob([recording]), { accept: "application/json" })
    await service.upstream.waitFor(() => service.upstream.calls("tts")[0])
    lose()
    const answer = await asked
    expect(answer.status).toBe(503)
    expect(answer.headers.get("retry-after")).toBe("1")
    expect(await answer.json()).toMatchObject({ error: "DATABASE_UNAVAILABLE", retryAfter: 1 })
    proxy.restore()
    await noTurnRuns(service)
    expect(await service.stored()).toEqual(before)
  })
})

describe("the commit's answer is lost twice", () => {
  test.each(["audio/mpeg", "application/json"])(
    "%s: no clean end; a retry with the key gets the reply",
    async (accept) => {
      const before = await service.stored()
      const headers = { "idempotency-key": crypto.randomUUID() }
      // Late enough that the save comes after the proxy is told.
      service.upstream.script("tts", [{ delayMs: 300 }])
      const client = await service.converseRaw(key, recording, accept, { headers })
      await service.upstream.waitFor(() => service.upstream.calls("tts")[0])
      proxy.breakOn(/^commit/i, "after", 2)
      const { status, whole } = await client.answer()
      expect({ status, whole }).not.toEqual({ status: 200, whole: true })
      const again = await service.converse(key, new Blob([recording]), { accept, headers })
      expect(again.status).toBe(200)
      expect(again.headers.get("idempotent-replayed")).toBe("true")
      await again.bytes()
      expect((await service.stored()).messages - before.messages).toBe(2)
      client.leave()
    },
  )
})

describe("the statement that starts a turn", () => {
  test("answer lost twice: 503, and the key is free afterwards", async () => {
    const headers = { "idempotency-key": crypto.randomUUID() }
    proxy.breakOn(/^insert into turns/i, "after", 2)
    const answer = await service.converse(key, new Blob([recording]), { headers })
    expect(answer.status).toBe(503)
    expect(await answer.json()).toMatchObject({ error: "DATABASE_UNAVAILABLE" })
    await noTurnRuns(service)
    const again = await service.converse(key, new Blob([recording]), { headers })
    expect(again.status).toBe(200)
    await again.bytes()
    expect(service.upstream.calls("stt")).toHaveLength(1)
  })

  test.each(["before", "after"] as const)("lost %s it: the turn is recorded once", async (when) => {
    proxy.breakOn(/^insert into turns/i, when)
    const headers = { "idempotency-key": crypto.randomUUID() }
    const answer = await service.converse(key, new Blob([recording]), { headers })
    expect(answer.status).toBe(200)
    await answer.bytes()
    const turns =
      await database.sql`select state from turns where session_id = ${answer.headers.get("x-session-id")}`
    expect([...turns]).toEqual([{ state: "completed" }])
  })
})

test("a connection lost between turns is replaced", async () => {
  proxy.drop()
  const answer = await service.converse(key, new Blob([recording]))
  expect(answer.status).toBe(200)
  await answer.bytes()
})

test("a database that hangs: 503 until it continues", async () => {
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
  proxy.restore()
  for (const accept of ["audio/mpeg", "application/json"]) {
    const answer = await service.converse(key, new Blob([recording]), { accept })
    expect(answer.status).toBe(200)
    await answer.bytes()
  }
})
