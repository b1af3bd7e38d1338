import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { wav16k } from "../support/audio.ts"
import { eventsIn } from "../support/events.ts"
import type { RawAnswer } from "../support/raw-http.ts"
import { noTurnRuns, openSession, type TestSession } from "../support/sessions.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"

let service: TurnService
let key = ""
let recording: Uint8Array = new Uint8Array()
let session: TestSession
beforeAll(async () => {
  service = await startTurns()
  key = await service.register()
  recording = await wav16k()
})
afterAll(() => service.stop())
beforeEach(async () => {
  service.reset()
  session = await openSession(service, key, recording)
})
afterEach(async () => {
  await service.nothingLeft()
  await noTurnRuns(service)
})

const remove = async () => (await service.call("DELETE", `/sessions/${session.id}`, { key })).status

const expectGone = async () => {
  await service.nothingLeft()
  expect((await service.call("GET", `/sessions/${session.id}`, { key })).status).toBe(404)
  const turns = await service.database.sql`select 1 from turns where session_id = ${session.id}`
  expect([...turns]).toEqual([])
}

const renderings = ["audio/mpeg", "audio/pcm", "text/event-stream", "application/json"]

/** Expects the response of a turn that could not be saved. */
const expectBroken = (accept: string, answer: RawAnswer) => {
  if (accept === "text/event-stream") {
    const data = { error: "SESSION_NOT_FOUND" }
    expect(eventsIn(answer.body).at(-1)).toMatchObject({ event: "error", data })
  } else if (accept === "application/json") expect(answer.status).toBe(404)
  else expect(answer.whole).toBe(false)
}

describe("a deleted session", () => {
  test.each(renderings)("is not restored by turns as %s", async (accept) => {
    service.upstream.default("tts", { seconds: 0.3, chunkDelayMs: 150, chunkBytes: 2000 })
    const client = await session.begin(accept)
    await service.upstream.waitFor(() => service.upstream.calls("tts")[1])
    // Otherwise there is nothing to reset.
    if (accept.startsWith("audio/")) await client.until(({ body }) => body.length > 0)
    const waiting = await session.begin("application/json")
    expect(await remove()).toBe(204)
    expectBroken(accept, await client.answer())
    expect((await waiting.answer()).status).toBe(404)
    await expectGone()
    for (const each of [client, waiting]) each.leave()
  })

  test.each(renderings)(
    "ends a turn as %s before its first output, with a status or an event",
    async (accept) => {
      service.upstream.default("llm", { text: "Late.", delayMs: 5000 })
      const calls = service.upstream.calls("llm").length
      const client = await session.begin(accept)
      await until(() => service.upstream.calls("llm").length === calls + 1, "the model's call")
      expect(await remove()).toBe(204)
      const answer = await client.answer()
      if (accept === "text/event-stream") expectBroken(accept, answer)
      else expect([answer.status, answer.whole]).toEqual([404, true])
      await expectGone()
      client.leave()
    },
  )

  test("is not restored by a save at the same time", async () => {
    const lock = await service.database.sql.reserve()
    const waitingFor = (count: number) =>
      until(async () => {
        const locks = await lock`select 1 from pg_locks where not granted and pid in (
          select pid from pg_locks
          where database = (select oid from pg_database where datname = current_database()))`
        return locks.length >= count
      }, `${count} that wait for a lock`)
    try {
      await lock`begin`
      await lock`lock table items in exclusive mode`
      const client = await session.begin()
      await waitingFor(1)
      const removed = remove()
      await waitingFor(2)
      await lock`rollback`
      expect(await removed).toBe(204)
      await client.answer()
      await expectGone()
      client.leave()
    } finally {
      await lock`rollback`
      lock.release()
    }
  })
})
