import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { wav16k } from "../support/audio.ts"
import type { RawClient } from "../support/raw-http.ts"
import { answerByName, noTurnRuns, openSession, type TestSession } from "../support/sessions.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"
import { fail } from "../support/upstream.ts"
import { expectProblem } from "./answers.ts"

/** The turn ahead must not reach its own timeout first. */
const patient = { STT_TIMEOUT_SECONDS: "600", LLM_TIMEOUT_SECONDS: "600", TURN_TIMEOUT_SECONDS: "600" }

let service: TurnService
let key = ""
let recording: Uint8Array = new Uint8Array()
let session: TestSession
beforeAll(async () => {
  // No faster: the database timeouts are shorter, too.
  service = await startTurns({ speed: 10, env: patient })
  key = await service.register()
  recording = await wav16k()
})
afterAll(() => service.stop())
beforeEach(async () => {
  service.reset()
  session = await openSession(service, key, recording)
  answerByName(service)
})
afterEach(async () => {
  await service.nothingLeft()
  await noTurnRuns(service)
})

const renderings = ["audio/mpeg", "audio/wav", "audio/pcm", "application/json", "text/event-stream"]

describe("a turn that would wait for more than 30 s", () => {
  let first: RawClient
  beforeEach(async () => {
    service.upstream.script("llm", [fail.hang()])
    first = await session.begin()
    await service.upstream.waitFor(() => service.upstream.calls("llm")[0])
  })

  test("is 409 in every format, and the session is unchanged", async () => {
    const answers = await Promise.all(renderings.map((accept) => session.take(accept)))
    for (const answer of answers) {
      await expectProblem(answer, { status: 409, code: "SESSION_BUSY", message: /still running/ })
    }
    // They were transcribed, which has a cost, but not answered.
    const states = (await session.turns()).map(({ state }) => state)
    expect(states).toEqual(["running", ...renderings.map(() => "failed")])
    expect(service.upstream.calls("llm")).toHaveLength(1)
    first.leave()
    for (const accept of renderings) await (await session.take(accept)).bytes()
    expect(await session.messages()).toHaveLength(2 * renderings.length)
  }, 20_000)

  test("is 409 while its own transcription runs", async () => {
    service.upstream.script("stt", [fail.hang()])
    await expectProblem(await session.take(), { status: 409, code: "SESSION_BUSY" })
    await service.upstream.waitFor(() => service.upstream.calls("stt")[1]?.outcome === "aborted by client")
    first.leave()
  }, 20_000)
})

describe("a service with two connections to its database", () => {
  let small: TurnService
  beforeAll(async () => {
    small = await startTurns({ database: service.database, env: { DATABASE_POOL_SIZE: "2" } })
  })
  afterAll(() => small.stop())

  test("twenty waiting turns hold no connection", async () => {
    const own = await openSession(small, key, recording)
    small.upstream.script("llm", [fail.hang()])
    const first = await own.begin()
    await small.upstream.waitFor(() => small.upstream.calls("llm")[0])
    const others = Array.from({ length: 20 }, () => own.take())
    await until(async () => (await own.turns()).length === 21, "a place for each")
    const heard = () => small.upstream.calls("stt").filter(({ outcome }) => outcome === "answered")
    await small.upstream.waitFor(() => heard().length === 21)
    for (let look = 0; look < 20; look++) {
      const held = await small.database.sql`select state, query from pg_stat_activity
        where datname = current_database() and application_name = 'voice-agent' and state like 'idle in%'`
      expect([...held]).toEqual([])
      expect((await small.call("GET", `/sessions/${own.id}`, { key })).status).toBe(200)
    }
    expect(small.upstream.calls("llm")).toHaveLength(1)
    first.leave()
    expect((await Promise.all(others)).map(({ status }) => status)).toEqual(others.map(() => 200))
    expect(await own.messages()).toHaveLength(40)
    await small.nothingLeft()
  }, 20_000)
})
