import { afterEach, beforeEach, expect, test } from "bun:test"
import { Effect, Layer, ManagedRuntime, Option } from "effect"
import { History } from "../../src/conversation/history.ts"
import { newItem } from "../../src/conversation/item.ts"
import { Ledger } from "../../src/conversation/ledger.ts"
import type { ItemPlace } from "../../src/conversation/ledger-items.ts"
import type { EndedTurn, NewTurn } from "../../src/conversation/stored-turn.ts"
import { newId, SessionId, TurnId, UserId } from "../../src/schema.ts"
import { makeEmptyDatabase, type TestDatabase } from "../support/database.ts"
import { storedParts } from "../support/stored-parts.ts"
import { until } from "../support/turns.ts"
import { migrateTo } from "./older-schema.ts"
import * as Older from "./version-0-1-0.ts"

let database: TestDatabase
const cleanUps: Array<() => Promise<unknown>> = []
beforeEach(async () => {
  database = await makeEmptyDatabase()
  await migrateTo(database.sql, 4)
})
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp()
  await database.drop()
})

/** This version on the test's database. The first effect that it runs migrates the database. */
const startNew = () => {
  const runtime = ManagedRuntime.make(storedParts(Layer.merge(Ledger.layer, History.layer), () => database))
  cleanUps.push(() => runtime.dispose())
  const take = (turn: NewTurn, items: EndedTurn["items"], place: ItemPlace = "end") =>
    runtime.runPromise(
      Effect.flatMap(Ledger, (ledger) =>
        Effect.zipRight(ledger.open(turn), ledger.saveAt(place, ended(turn, items))),
      ),
    )
  return {
    take,
    newest: (id: SessionId) =>
      runtime.runPromise(Effect.flatMap(History, (history) => history.newest(id, 1000))),
    messages: (userId: UserId, id: SessionId) =>
      runtime.runPromise(
        Effect.flatMap(History, (history) =>
          history.messages(userId, id, { limit: 200, before: Option.none() }),
        ),
      ),
  }
}

/** The statements of version 0.1.0 on the test's database. */
const startOld = async () => {
  const runtime = ManagedRuntime.make(Older.connect(database.url))
  cleanUps.push(() => runtime.dispose())
  const statements = await runtime.runPromise(Older.statements)
  const run = <A, E>(effect: Effect.Effect<A, E>) => runtime.runPromise(effect)
  const take = ({ id, userId, session }: NewTurn, transcript: string, heard: string, isWhole = true) =>
    run(statements.save({ id, userId, session, transcript, heard, isWhole }))
  return { ...statements, run, take }
}

const addUser = async () => {
  const [{ id }] = await database.sql`
    insert into users (email) values (gen_random_uuid() || '@example.com') returning id`
  return UserId.make(id)
}
const addSession = async (userId: UserId, idleHours = 0) => {
  const [{ id }] = await database.sql`
    insert into sessions (user_id, last_activity_at)
    values (${userId}, now() - make_interval(hours => ${idleHours})) returning id`
  return SessionId.make(id)
}
const newTurn = (userId: UserId, sessionId: SessionId, isNew = false): NewTurn => ({
  id: newId(TurnId),
  userId,
  session: { id: sessionId, isNew },
  idempotency: Option.none(),
  isAside: false,
})
const ended = (turn: NewTurn, items: EndedTurn["items"]): EndedTurn => ({
  ...turn,
  items,
  state: "completed",
  transcript: "",
  response: "",
  speech: Option.none(),
  speechFormat: "none",
  timings: {},
  usage: { audioSeconds: 0, inputTokens: 0, outputTokens: 0, charactersSpoken: 0 },
})
const message = (role: "user" | "assistant", text: string) => newItem({ type: "message", role, text })
const toolCall = newItem({ type: "tool_call", callId: "1", name: "weather", arguments: `{"at":"Ulm"}` })
const toolResult = newItem({ type: "tool_result", callId: "1", output: "rain" })

const said = [
  "",
  "Hello!",
  `"quotes", \\backslashes\\ and \\u0000 \\ud800 as text`,
  "line\nbreaks\tand \u0001",
  "你好 👋🏽 é",
  "null",
  "{}",
  "x".repeat(20_000),
]

test("migration 5 keeps every message, in order", async () => {
  const userId = await addUser()
  const sessions = await Promise.all(Array.from({ length: 3 }, () => addSession(userId)))
  for (let n = 0; n < 60; n++) {
    const [turnId, at] = [crypto.randomUUID(), new Date(Date.UTC(2024, 1, 29, 0, 0, n >> 2, 7))]
    const text = said[n % said.length] ?? ""
    const [url, interrupted] = [n % 5 === 0 ? `https://example.com/${n}` : null, n % 3 === 0]
    await database.sql`
      insert into messages (session_id, turn_id, role, content, interrupted, audio_url, created_at) values
        (${sessions[n % 3]}, ${turnId}, ${n % 7 === 0 ? "system" : "user"}, ${text}, false, ${url}, ${at}),
        (${sessions[n % 3]}, ${turnId}, 'assistant', ${`${n} ${text}`}, ${interrupted}, null, ${at})`
  }
  const rows = async () => [
    ...(await database.sql`select id, session_id, sequence, turn_id, role, content, interrupted, audio_url,
      created_at::text from messages order by sequence`),
  ]
  const before = await rows()
  const activity = () => database.sql`select id, last_activity_at::text from sessions order by id`
  const active = [...(await activity())]
  expect(before).toHaveLength(120)

  const service = startNew()
  const items = (await Promise.all(sessions.map(service.newest))).flat()
  expect(await rows()).toEqual(before)
  expect([...(await activity())]).toEqual(active)
  expect(items).toHaveLength(120)
  const converted = new Map(items.map((item) => [`${item.id}`, item]))
  for (const row of before) {
    expect(converted.get(row.id)).toMatchObject({
      turnId: row.turn_id,
      payload: { type: "message", role: row.role, text: row.content },
      interrupted: row.interrupted,
      heardMs: null,
      audioKey: row.audio_url,
    })
  }
  for (const sessionId of sessions) {
    const ids = before.filter((row) => row.session_id === sessionId).map(({ id }) => id)
    expect((await service.newest(sessionId)).map(({ id }) => `${id}`)).toEqual(ids)
    expect((await service.messages(userId, sessionId)).map(({ id }) => `${id}`)).toEqual(ids)
  }
})

test("version 0.1.0 and this one share a session", async () => {
  const service = startNew()
  const userId = await addUser()
  const sessionId = newId(SessionId)
  const old = await startOld()
  await service.newest(sessionId)

  await old.take(newTurn(userId, sessionId, true), said.join(), "1", false)
  await service.take(newTurn(userId, sessionId, true), [
    message("user", "2"),
    toolCall,
    toolResult,
    message("assistant", "3"),
  ])
  await old.take(newTurn(userId, sessionId), "4", "5")
  await service.take(newTurn(userId, sessionId), [message("user", "6"), message("assistant", "7")])

  const texts = [said.join(), "1", "2", "3", "4", "5", "6", "7"]
  const contents = (rows: ReadonlyArray<unknown>) =>
    rows.map((row) => (row instanceof Object && "content" in row ? row.content : undefined))
  const newest = await old.run(old.newest(sessionId, 20))
  expect(contents(newest.toReversed())).toEqual(texts)
  expect(contents(await old.run(old.newest(sessionId, 3)))).toEqual(["7", "6", "5"])
  expect(newest.at(-1)).toMatchObject({ role: "user", interrupted: false, createdAt: expect.any(Date) })
  expect(newest.at(-2)).toMatchObject({ role: "assistant", interrupted: true })
  const [position] = await old.run(old.position(sessionId, `${newest[3]?.id}`))
  expect(contents(await old.run(old.newestBefore(sessionId, `${position?.sequence}`, 2)))).toEqual(["3", "2"])
  expect(contents(await old.run(old.exported(sessionId, "0", 20)))).toEqual(texts)

  const messages = await service.messages(userId, sessionId)
  expect(messages.map(({ content }) => content)).toEqual(texts)
  expect(messages.map(({ interrupted }) => interrupted)).toEqual(texts.map((text) => text === "1"))
  expect((await service.newest(sessionId)).map(({ payload: { type } }) => type).slice(2, 6)).toEqual([
    "message",
    "tool_call",
    "tool_result",
    "message",
  ])
})

test("version 0.1.0 reads and adds to a session with inserted items", async () => {
  const service = startNew()
  const userId = await addUser()
  const sessionId = newId(SessionId)
  const old = await startOld()
  await service.newest(sessionId)
  const add = (text: string, place: ItemPlace) => {
    const item = newItem({ type: "message", role: "user", text }, { clientId: `item_${text}` })
    return service.take(newTurn(userId, sessionId, true), [item], place).then(() => item.id)
  }
  const third = await add("3", "end")
  const second = await add("2", () => ({ earlier: [], later: [third] }))
  await old.take(newTurn(userId, sessionId), "4", "5")
  await add("2a", () => ({ earlier: [second], later: [third] }))
  await old.take(newTurn(userId, sessionId), "6", "7")
  const texts = ["2", "2a", "3", "4", "5", "6", "7"]
  const newest = await old.run(old.newest(sessionId, 20))
  expect(
    newest.map((row) => (row instanceof Object && "content" in row ? row.content : "")).toReversed(),
  ).toEqual(texts)
  const items = await service.newest(sessionId)
  expect(items.map(({ payload }) => ("text" in payload ? payload.text : ""))).toEqual(texts)
  expect(items.map(({ clientId }) => clientId)).toEqual([
    "item_2",
    "item_2a",
    "item_3",
    null,
    null,
    null,
    null,
  ])
})

test("version 0.1.0 keeps its sessions alive and cleans up", async () => {
  const service = startNew()
  const userId = await addUser()
  const [empty, older, newer] = [
    await addSession(userId, 25),
    await addSession(userId, 25),
    await addSession(userId, 25),
  ]
  await service.newest(empty)
  const old = await startOld()
  await old.take(newTurn(userId, older), "Hi", "Hello.")
  await service.take(newTurn(userId, newer), [message("user", "Hi")])
  const active =
    await database.sql`select id from sessions where last_activity_at > now() - interval '1 minute'`
  expect(active.map(({ id }: { readonly id: string }) => id).toSorted()).toEqual([older, newer].toSorted())
  await database.sql`update sessions set last_activity_at = now() - interval '25 hours'`
  expect(await old.run(old.deleteEmptySessions)).toHaveLength(1)
  expect(await database.sql`select 1 from sessions where id = ${empty}`).toHaveLength(0)
  expect(await database.sql`select 1 from sessions`).toHaveLength(2)
})

test("version 0.1.0 learns that its session is deleted", async () => {
  const service = startNew()
  const userId = await addUser()
  await service.newest(newId(SessionId))
  const old = await startOld()
  const refused = await old.run(
    Effect.flip(
      old.save({
        id: newId(TurnId),
        userId,
        session: { id: newId(SessionId), isNew: false },
        transcript: "Hi",
        heard: "",
        isWhole: true,
      }),
    ),
  )
  expect(refused.cause).toMatchObject({ code: "23503", constraint: "messages_session_id_fkey" })
})

test("turns of both versions wait for the migration", async () => {
  const userId = await addUser()
  const locksAwaited = async () => {
    const [{ count }] = await database.sql`select count(*)::int as count from pg_stat_activity
      where datname = current_database() and state = 'active' and wait_event_type = 'Lock'`
    return Number(count)
  }
  const sessions = await Promise.all(Array.from({ length: 9 }, () => addSession(userId)))
  const old = await startOld()
  const services = [startNew(), startNew()]
  const blocker = await database.sql.reserve()
  await blocker`begin`
  await blocker`insert into messages (session_id, turn_id, role, content)
    values (${sessions[0]}, gen_random_uuid(), 'user', 'before')`

  const taken: Array<Promise<unknown>> = services.flatMap(({ take }, n) =>
    sessions
      .slice(n * 3, n * 3 + 3)
      .map((sessionId) =>
        take(newTurn(userId, sessionId), [message("user", "q"), message("assistant", "a")]),
      ),
  )
  await until(async () => (await locksAwaited()) === 2, "both migrations to wait")
  taken.push(...sessions.slice(6).map((sessionId) => old.take(newTurn(userId, sessionId), "q", "a")))
  await until(async () => (await locksAwaited()) === 5, "the turns of version 0.1.0 to wait")
  await blocker`commit`
  blocker.release()
  await Promise.all(taken)

  const reader = startNew()
  for (const [n, sessionId] of sessions.entries()) {
    const contents = (await reader.messages(userId, sessionId)).map(({ content }) => content)
    expect(contents).toEqual(n === 0 ? ["before", "q", "a"] : ["q", "a"])
  }
})
