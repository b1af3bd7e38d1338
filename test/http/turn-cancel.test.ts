import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { wav16k } from "../support/audio.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { eventsIn } from "../support/events.ts"
import type { RawAnswer } from "../support/raw-http.ts"
import { answerByName, answerTo, noTurnRuns, openSession, type TestSession } from "../support/sessions.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"
import { fail, type Stage } from "../support/upstream.ts"
import { expectProblem } from "./answers.ts"

let database: TestDatabase
let service: TurnService
/** A second service on the same database. */
let other: TurnService
let key = ""
let recording: Uint8Array = new Uint8Array()
let session: TestSession
beforeAll(async () => {
  database = await makeDatabase()
  service = await startTurns({ database })
  other = await startTurns({ database })
  key = await service.register()
  recording = await wav16k()
})
afterAll(async () => {
  await other.stop()
  await service.stop()
  await database.drop()
})
beforeEach(async () => {
  service.reset()
  other.reset()
  session = await openSession(service, key, recording)
})
afterEach(async () => {
  for (const each of [service, other]) await each.nothingLeft()
  await noTurnRuns(service)
})

/** The session's newest turn. */
const newest = async () => (await session.turns()).at(-1)

const cancel = (id = "", by = service) => by.call("DELETE", `/voice/turns/${id}`, { key })

const cancelNewest = async (by = service) => {
  const answer = await cancel((await newest())?.id, by)
  expect({ status: answer.status, body: await answer.text() }).toEqual({ status: 204, body: "" })
}

const begin = async (stage: Stage, accept?: string, step = fail.hang()) => {
  service.upstream.script(stage, [step])
  const client = await session.begin(accept)
  const call = await service.upstream.waitFor(() => service.upstream.calls(stage)[0])
  return { client, call }
}

const isAborted = (call: { readonly outcome: string }) =>
  service.upstream.waitFor(() => call.outcome === "aborted by client", "an end of the call")

const problemOf = ({ status, headers, body }: RawAnswer) => ({
  status,
  headers,
  text: async () => `${body}`,
})

const cancelledEvent = { event: "error", data: { error: "TURN_CANCELLED", message: expect.any(String) } }

/** A reply whose second sentence never completes. */
const [heard, unheard] = ["This is heard to its end.", "And this is not heard to its end."]
const audio = new Uint8Array(4800)
const beginHeard = async (accept: string, headers: Record<string, string> = {}) => {
  service.upstream.script("llm", [{ text: `${heard} ${unheard}` }])
  const piece = accept === "audio/pcm" ? { audio } : { seconds: 0.2 }
  service.upstream.script("tts", [piece, { ...piece, ...fail.hang({ bytes: 2400 }) }])
  const client = await session.begin(accept, { headers })
  const isPast = ({ body }: RawAnswer) =>
    accept === "audio/pcm" ? body.length > audio.length : body.includes("base64")
  await client.until(isPast)
  const call = await service.upstream.waitFor(() => service.upstream.calls("tts")[1])
  await service.upstream.waitFor(() => call.sent.length > 0)
  return { client, call }
}

const stages: ReadonlyArray<Stage> = ["stt", "llm", "tts"]
const renderings = ["audio/mpeg", "audio/wav", "audio/pcm", "application/json"]

describe("before anything was heard", () => {
  const cases = [
    ...renderings.flatMap((accept) => stages.map((stage) => [accept, stage] as const)),
    ["text/event-stream", "stt"] as const,
  ]
  test.each(cases)("as %s, waiting for its %s: 409, nothing saved", async (accept, stage) => {
    const { client, call } = await begin(stage, accept)
    await cancelNewest()
    const turn = await newest()
    expect(turn).toMatchObject({ state: "failed", usage: { audioSeconds: 2 } })
    await expectProblem(problemOf(await client.answer()), { status: 409, code: "TURN_CANCELLED" })
    await isAborted(call)
    expect(await session.messages()).toEqual([])
    client.leave()
  })

  test.each(["llm", "tts"] as const)("as events, waiting for its %s: an error event", async (stage) => {
    const { client, call } = await begin(stage, "text/event-stream")
    await client.until(({ body }) => body.includes("event: transcript\n"))
    await cancelNewest()
    const answer = await client.answer()
    expect(answer.whole).toBe(true)
    expect(eventsIn(answer.body).at(-1)).toMatchObject(cancelledEvent)
    await isAborted(call)
    expect(await session.messages()).toEqual([])
    client.leave()
  })

  test("of a new session: no session is left", async () => {
    const before = await service.stored()
    service.upstream.script("llm", [fail.hang()])
    const client = await service.converseRaw(key, recording)
    await service.upstream.waitFor(() => service.upstream.calls("llm")[0])
    const [{ id }] = await database.sql`select id from turns where state = 'running'`
    expect((await cancel(id)).status).toBe(204)
    expect((await client.answer()).status).toBe(409)
    expect(await service.stored()).toEqual(before)
    client.leave()
  })
})

describe("after a part was heard", () => {
  test.each(["audio/pcm", "text/event-stream"])("as %s: the heard part is saved", async (accept) => {
    const { client, call } = await beginHeard(accept)
    await cancelNewest()
    expect(await newest()).toMatchObject({ state: "cancelled", response: `${heard} ${unheard}` })
    expect(await session.messages()).toMatchObject([
      { role: "user", interrupted: false },
      { role: "assistant", interrupted: true },
    ])
    if (accept === "audio/pcm") expect((await session.contents()).at(-1)).toBe(heard)
    const answer = await client.answer()
    if (accept === "audio/pcm") expect(answer.whole).toBe(false)
    else expect(eventsIn(answer.body).at(-1)).toMatchObject(cancelledEvent)
    await isAborted(call)
    client.leave()
  })

  test("a second cancellation changes nothing", async () => {
    const { client } = await beginHeard("audio/pcm")
    await Promise.all([cancelNewest(), cancelNewest(), cancelNewest(other)])
    expect(await session.messages()).toHaveLength(2)
    client.leave()
  })

  test("through another process", async () => {
    const { client, call } = await beginHeard("audio/pcm")
    await cancelNewest(other)
    expect(await newest()).toMatchObject({ state: "cancelled" })
    expect((await client.answer()).whole).toBe(false)
    await isAborted(call)
    expect(await session.contents()).toEqual([expect.any(String), heard])
    client.leave()
  })
})

describe("a turn with an Idempotency-Key, without its client", () => {
  const headers = () => ({ "idempotency-key": crypto.randomUUID() })

  test.each(["its own service", "another"])("ends when %s cancels it, and frees its key", async (by) => {
    const own = headers()
    const { client, call } = await beginHeard("audio/pcm", own)
    client.leave()
    await Bun.sleep(60)
    expect({ ...(await newest()), call: call.outcome }).toMatchObject({ state: "running", call: "open" })
    await cancelNewest(by === "another" ? other : service)
    expect(await newest()).toMatchObject({ state: "cancelled", key: null })
    await isAborted(call)
    const again = await service.converse(key, new Blob([recording]), { headers: own })
    expect(again.status).toBe(200)
    expect(again.headers.get("idempotent-replayed")).toBeNull()
    await again.bytes()
  })

  test("also before it was heard", async () => {
    const own = headers()
    service.upstream.script("llm", [fail.hang()])
    const client = await session.begin("audio/mpeg", { headers: own })
    await service.upstream.waitFor(() => service.upstream.calls("llm")[0])
    client.leave()
    await cancelNewest()
    expect(await newest()).toMatchObject({ state: "failed", key: null })
    const again = await service.converse(key, new Blob([recording]), { headers: own })
    expect(again.status).toBe(200)
    await again.bytes()
  })
})

test("a waiting turn is cancelled alone", async () => {
  answerByName(service)
  service.upstream.script(
    "stt",
    ["one", "two", "three"].map((text) => ({ text })),
  )
  const { client: first } = await begin("llm")
  const second = await session.begin()
  await service.upstream.waitFor(() => service.upstream.calls("stt")[1]?.outcome === "answered")
  const waiting = (await newest())?.id
  const third = await session.begin()
  expect((await cancel(waiting)).status).toBe(204)
  await expectProblem(problemOf(await second.answer()), { status: 409, code: "TURN_CANCELLED" })
  expect((await session.turns()).map(({ state }) => state)).toEqual(["running", "failed", "running"])
  first.leave()
  expect((await third.answer()).whole).toBe(true)
  expect(await session.contents()).toEqual(["three", answerTo("three")])
  for (const client of [second, third]) client.leave()
})

describe("a cancellation during the save", () => {
  /** Blocks the save with a lock on the session's row. Returns the release of the lock. */
  const holdUp = async (lock: "for update" | "for no key update") => {
    const locks = await database.sql.reserve()
    await locks`begin`
    await locks.unsafe(`select 1 from sessions where id = '${session.id}' ${lock}`)
    return async () => {
      await locks`rollback`
      locks.release()
    }
  }
  const waiting = (count: number) =>
    until(async () => {
      const found = await database.sql`select 1 from pg_stat_activity where datname = current_database()
        and application_name = 'voice-agent' and wait_event_type = 'Lock'`
      return found.length === count
    }, `${count} to wait for a lock`)
  const beginSaving = async (accept: string) => {
    const client = await session.begin(accept)
    await waiting(1)
    return client
  }

  test.each(["audio/mpeg", "application/json", "text/event-stream"])(
    "as %s, too late: the turn is complete",
    async (accept) => {
      // The turn is closed and waits to update the session.
      const letGo = await holdUp("for no key update")
      const client = await beginSaving(accept)
      const cancelled = cancel((await newest())?.id)
      await waiting(2)
      await letGo()
      expect((await cancelled).status).toBe(204)
      const answer = await client.answer()
      expect({ status: answer.status, whole: answer.whole }).toEqual({ status: 200, whole: true })
      if (accept === "text/event-stream") {
        expect(eventsIn(answer.body).at(-1)).toMatchObject({ event: "turn.completed" })
      }
      expect(await newest()).toMatchObject({ state: "completed" })
      expect(await session.messages()).toMatchObject([{ role: "user" }, { interrupted: false }])
      client.leave()
    },
  )

  test.each(["its own service", "another"])("in time, by %s: no clean end", async (by) => {
    const letGo = await holdUp("for update")
    const client = await beginSaving("audio/mpeg")
    const cancelled = cancel((await newest())?.id, by === "another" ? other : service)
    await until(async () => {
      const [turn] = await database.sql`select cancel_requested as asked from turns
          where session_id = ${session.id}`
      return turn.asked
    }, "the cancellation to be noted")
    await letGo()
    expect((await cancelled).status).toBe(204)
    expect((await client.answer()).whole).toBe(false)
    expect(await newest()).toMatchObject({ state: "cancelled" })
    expect(await session.messages()).toMatchObject([{ role: "user" }, { interrupted: true }])
    client.leave()
  })

  test("in time, with nothing heard: 409, nothing saved", async () => {
    // The answer comes when the statement times out, after 10 s of this clock.
    const hasty = await startTurns({ database, speed: 5 })
    const letGo = await holdUp("for update")
    const client = await session.begin("application/json", { by: hasty })
    await waiting(1)
    const cancelled = cancel((await newest())?.id, hasty)
    await expectProblem(problemOf(await client.answer()), { status: 409, code: "TURN_CANCELLED" })
    await letGo()
    expect((await cancelled).status).toBe(204)
    expect(await newest()).toMatchObject({ state: "failed" })
    expect(await session.messages()).toEqual([])
    client.leave()
    await hasty.nothingLeft()
    await hasty.stop()
  })
})

describe("a turn that does not run", () => {
  test("has ended: 204, nothing changes", async () => {
    await (await session.take()).json()
    const { client } = await beginHeard("audio/pcm")
    client.leave()
    await service.nothingLeft()
    await noTurnRuns(service)
    const before = await database.sql`select * from turns order by sequence`
    const messages = await session.messages()
    for (const { id } of await session.turns()) {
      for (const by of [service, other]) expect((await cancel(id, by)).status).toBe(204)
    }
    expect([...(await database.sql`select * from turns order by sequence`)]).toEqual([...before])
    expect(await session.messages()).toEqual(messages)
  })

  test("unknown, invalid or another user's: 404", async () => {
    const { client } = await begin("llm")
    const id = (await newest())?.id ?? ""
    const stranger = await service.register()
    const asked = [
      ...[crypto.randomUUID(), "no-id", "1", `${id}0`, "%00", encodeURIComponent(`${id}'`)].map((each) =>
        cancel(each),
      ),
      ...[service, other].map((by) => by.call("DELETE", `/voice/turns/${id}`, { key: stranger })),
    ]
    for (const answer of await Promise.all(asked)) {
      await expectProblem(answer, { status: 404, code: "TURN_NOT_FOUND" })
    }
    for (const [given, code] of [
      [undefined, "UNAUTHORIZED"],
      [`sk_${"0".repeat(64)}`, "INVALID_API_KEY"],
    ] as const) {
      const options = given === undefined ? {} : { key: given }
      await expectProblem(await service.call("DELETE", `/voice/turns/${id}`, options), { status: 401, code })
    }
    await Bun.sleep(60)
    expect(await newest()).toMatchObject({ state: "running" })
    // Ids are case-insensitive.
    expect((await cancel(id.toUpperCase())).status).toBe(204)
    expect((await client.answer()).status).toBe(409)
    client.leave()
  })
})
