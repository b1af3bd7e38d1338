import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { wav16k } from "../support/audio.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { eventsIn } from "../support/events.ts"
import { cleanUpProcesses, startProcess } from "../support/process.ts"
import { noTurnRuns, openSession, type TestSession } from "../support/sessions.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"
import { fail } from "../support/upstream.ts"
import { expectProblem } from "./answers.ts"

/** A turn whose lease expired counts as dead, and another turn may already run in its place. */
let database: TestDatabase
let service: TurnService
let key = ""
let recording: Uint8Array = new Uint8Array()
let session: TestSession
beforeAll(async () => {
  database = await makeDatabase()
  service = await startTurns({ database })
  key = await service.register()
  recording = await wav16k()
})
afterAll(async () => {
  await cleanUpProcesses()
  await service.stop()
  await database.drop()
})
beforeEach(async () => {
  service.reset()
  session = await openSession(service, key, recording)
})
afterEach(async () => {
  await service.nothingLeft()
  await noTurnRuns(service)
})

const endLease = (sql: Pick<TestDatabase, "sql">["sql"] = database.sql) =>
  sql`update turns set lease_until = now() - interval '1 ms' where session_id = ${session.id} and state = 'running'`

const newest = async () => (await session.turns()).at(-1)

const unavailable = { status: 503, code: "DATABASE_UNAVAILABLE" }

describe("a turn whose lease expired", () => {
  test("before anything was heard: 503, only the usage is saved", async () => {
    service.upstream.script("llm", [fail.hang()])
    const client = await session.begin("audio/mpeg")
    const call = await service.upstream.waitFor(() => service.upstream.calls("llm")[0])
    await endLease()
    const { status, headers, body } = await client.answer()
    await expectProblem({ status, headers, text: async () => `${body}` }, unavailable)
    await service.upstream.waitFor(() => call.outcome === "aborted by client")
    await noTurnRuns(service)
    expect(await newest()).toMatchObject({ state: "failed", usage: { audioSeconds: 2 } })
    expect(await session.messages()).toEqual([])
    client.leave()
  })

  test.each(["audio/mpeg", "text/event-stream"])(
    "after a part was heard, as %s: aborted, not saved",
    async (accept) => {
      service.upstream.script("tts", [{ seconds: 1, ...fail.hang({ bytes: 6000 }) }])
      const client = await session.begin(accept)
      await client.until(
        ({ body }) => body.length > 0 && (accept === "audio/mpeg" || body.includes("base64")),
      )
      await endLease()
      const answer = await client.answer()
      if (accept === "audio/mpeg") expect(answer.whole).toBe(false)
      else expect(eventsIn(answer.body).at(-1)).toMatchObject({ data: { error: "DATABASE_UNAVAILABLE" } })
      await noTurnRuns(service)
      expect(await newest()).toMatchObject({ state: "failed", usage: { audioSeconds: 2 } })
      expect(await session.messages()).toEqual([])
      client.leave()
    },
  )

  test.each(["audio/mpeg", "application/json"])(
    "during the save, as %s: no clean end, not saved",
    async (accept) => {
      const own = { "idempotency-key": crypto.randomUUID() }
      service.upstream.script("llm", [{ delayMs: 100 }])
      const client = await session.begin(accept, { headers: own })
      const locks = await database.sql.reserve()
      await locks`begin`
      await locks`select 1 from turns where session_id = ${session.id} for update`
      await until(async () => {
        const waiting = await database.sql`select 1 from pg_stat_activity where datname = current_database()
          and application_name = 'voice-agent' and wait_event_type = 'Lock'`
        return waiting.length > 0
      }, "the save")
      await endLease(locks)
      await locks`commit`
      locks.release()
      const { status, whole } = await client.answer()
      expect({ status, whole }).toEqual(
        accept === "audio/mpeg" ? { status: 200, whole: false } : { status: 503, whole: true },
      )
      await noTurnRuns(service)
      expect(await newest()).toMatchObject({ state: "failed", key: null })
      expect(await session.messages()).toEqual([])
      const again = await service.converse(key, new Blob([recording]), {
        accept,
        headers: own,
        sessionId: session.id,
      })
      expect(again.status).toBe(200)
      await again.bytes()
      expect(await session.messages()).toHaveLength(2)
      client.leave()
    },
  )
})

test("a process paused beyond its lease ends its turns", async () => {
  service.upstream.script("llm", [fail.hang({ tokens: 2 })])
  const stopped = startProcess({
    env: {
      DATABASE_URL: database.url,
      OPENAI_API_KEY: "sk-test",
      OPENAI_BASE_URL: service.upstream.baseUrl,
    },
  })
  const form = new FormData()
  form.append("sessionId", session.id)
  form.append("audio", new Blob([recording]), "recording")
  const answer = await fetch(`${await stopped.url()}/api/v1/voice/conversation`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, accept: "text/event-stream" },
    body: form,
  })
  await service.upstream.waitFor(() => service.upstream.calls("llm")[0])
  const [{ id }] = await database.sql`select id from turns where session_id = ${session.id}`
  const second = session.take()
  await until(async () => (await session.turns()).length === 2, "a place for the second")
  stopped.signal("SIGSTOP")
  await until(async () => {
    const active = await database.sql`select 1 from pg_stat_activity where datname = current_database()
      and application_name = 'voice-agent' and state = 'active'`
    return active.length === 0
  }, "what it had under way to be done")
  await database.sql`update turns set lease_until = now() where id = ${id}`
  expect((await second).status).toBe(200)
  stopped.signal("SIGCONT")
  expect(eventsIn(await answer.bytes()).at(-1)).toMatchObject({ data: { error: "DATABASE_UNAVAILABLE" } })
  await noTurnRuns(service)
  expect((await session.turns()).map(({ state }) => state)).toEqual(["failed", "completed"])
  const messages = await session.messages()
  expect(messages).toHaveLength(2)
  expect(messages.every(({ turnId }) => turnId !== id)).toBe(true)
  stopped.signal("SIGTERM")
  expect(await stopped.ended).toBe(0)
}, 40_000)
