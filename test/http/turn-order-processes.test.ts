import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { wav16k } from "../support/audio.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { cleanUpProcesses, startProcess } from "../support/process.ts"
import {
  answerByName,
  answerTo,
  noTurnRuns,
  openSession,
  type TestSession,
  withoutNotes,
} from "../support/sessions.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"
import { fail } from "../support/upstream.ts"

let database: TestDatabase
let one: TurnService
let two: TurnService
let key = ""
let recording: Uint8Array = new Uint8Array()
let session: TestSession
/** A history of a hundred messages. */
const env = { CONTEXT_MESSAGES: "1000", CONTEXT_TOKENS: "1000000" }
beforeAll(async () => {
  database = await makeDatabase()
  one = await startTurns({ database, env })
  two = await startTurns({ database, env })
  key = await one.register()
  recording = await wav16k()
})
afterAll(async () => {
  await cleanUpProcesses()
  await two.stop()
  await one.stop()
  await database.drop()
})
beforeEach(async () => {
  for (const service of [one, two]) {
    service.reset()
    answerByName(service)
  }
  session = await openSession(one, key, recording)
})
afterEach(async () => {
  for (const service of [one, two]) await service.nothingLeft()
  await noTurnRuns(one)
})

const contentsOf = (messages: ReadonlyArray<{ readonly content: string }> = []) =>
  messages.map(({ content }) => withoutNotes(content))

/** The messages of an LLM call without the system prompt. */
const asked = ({ upstream }: TurnService, call = 0) =>
  contentsOf(upstream.calls("llm")[call]?.request.messages).slice(1)

const isHeard = ({ upstream }: TurnService) =>
  upstream.waitFor(() => upstream.calls("stt")[0]?.outcome === "answered")

describe("turns of one session by two services on one database", () => {
  test("run in order behind a slow first turn", async () => {
    one.upstream.script("stt", [{ text: "one", delayMs: 150 }])
    two.upstream.script("stt", [{ text: "two" }])
    const first = await session.begin()
    const second = await session.begin("application/json", { by: two })
    await isHeard(two)
    expect(two.upstream.calls("llm")).toEqual([])
    for (const client of [first, second]) expect((await client.answer()).whole).toBe(true)
    expect(asked(two)).toEqual(["one", answerTo("one"), "two"])
    expect(await session.contents()).toEqual(["one", answerTo("one"), "two", answerTo("two")])
    for (const client of [first, second]) client.leave()
  })

  test("continue when the turn ahead is abandoned", async () => {
    one.upstream.script("llm", [fail.hang()])
    const first = await session.begin()
    await one.upstream.waitFor(() => one.upstream.calls("llm")[0])
    const other = await openSession(two, key, recording)
    expect((await other.take()).status).toBe(200)
    const second = await session.begin("application/json", { by: two })
    first.leave()
    expect((await second.answer()).status).toBe(200)
    expect(await session.messages()).toHaveLength(2)
    second.leave()
  })

  test("keep the order of fifty concurrent turns", async () => {
    for (const [name, { upstream }] of Object.entries({ one, two })) {
      upstream.script(
        "stt",
        Array.from({ length: 25 }, (_, n) => ({ text: `${name} ${n}`, delayMs: (n * 7) % 20 })),
      )
    }
    const there = await openSession(two, key, recording, session.id)
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, n) => (n % 2 === 0 ? session : there).take()),
    )
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
    const messages = await session.messages()
    const turns = await session.turns()
    expect(messages.map(({ turnId }) => turnId)).toEqual(turns.flatMap(({ id }) => [id, id]))
    const said = contentsOf(messages)
    const questions = said.filter((_, n) => n % 2 === 0)
    expect(said).toEqual(questions.flatMap((question) => [question, answerTo(question)]))
    expect(new Set(questions).size).toBe(50)
    const histories = [one, two].flatMap(({ upstream }) =>
      upstream.calls("llm").map(({ request }) => contentsOf(request.messages).slice(1)),
    )
    expect(histories.toSorted((a, b) => a.length - b.length)).toEqual(
      questions.map((_, n) => said.slice(0, 2 * n + 1)),
    )
  }, 60_000)
})

describe("a process that died during a turn", () => {
  /** Inserts the running turn of a dead process. */
  const leaveBehind = (lease: string) => database.sql`
    insert into turns (id, user_id, session_id, lease_until)
    select gen_random_uuid(), user_id, id, now() + ${lease}::interval from sessions where id = ${session.id}`

  /** True if the next turn ended after the lease. */
  const wentOnAfterLease = async () => {
    const [{ after }] = await database.sql`
      select max(ended_at) > max(lease_until) as after from turns where session_id = ${session.id}`
    await database.sql`delete from turns where state = 'running' and session_id = ${session.id}`
    return after
  }

  test("does not block after its lease", async () => {
    await leaveBehind("-1 ms")
    expect((await session.take()).status).toBe(200)
    expect(await wentOnAfterLease()).toBe(true)
  })

  test("blocks until its lease ends", async () => {
    await leaveBehind("700 ms")
    const turn = session.take()
    await isHeard(one)
    expect(one.upstream.calls("llm")).toEqual([])
    expect((await turn).status).toBe(200)
    expect(await wentOnAfterLease()).toBe(true)
  })

  test("killed: its new session continues", async () => {
    one.upstream.script("llm", [fail.hang({ tokens: 2 })])
    const { baseUrl } = one.upstream
    const child = startProcess({
      env: { DATABASE_URL: database.url, OPENAI_API_KEY: "sk-test", OPENAI_BASE_URL: baseUrl, ...env },
    })
    const form = new FormData()
    form.append("audio", new Blob([recording]), "recording")
    const answer = await fetch(`${await child.url()}/api/v1/voice/conversation`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, accept: "text/event-stream" },
      body: form,
    })
    await one.upstream.waitFor(() => one.upstream.calls("llm")[0])
    session = await openSession(two, key, recording, answer.headers.get("x-session-id") ?? "")
    const second = await session.begin("application/json")
    await isHeard(two)
    child.signal("SIGKILL")
    expect(await child.ended).toBe("SIGKILL")
    expect(two.upstream.calls("llm")).toEqual([])
    // The lease is 15 s; half a second is enough for the test.
    await database.sql`update turns set lease_until = now() + interval '500 ms'
      where session_id = ${session.id} and lease_until > now() + interval '500 ms'
        and sequence = (select min(sequence) from turns where session_id = ${session.id})`
    expect((await second.answer()).status).toBe(200)
    expect(asked(two)).toHaveLength(1)
    expect(await session.messages()).toHaveLength(2)
    expect(await wentOnAfterLease()).toBe(true)
    await until(() => one.upstream.openCalls() === 0, "an end of the killed one's calls")
    second.leave()
  }, 60_000)
})
