import { afterAll, beforeAll, expect } from "bun:test"
import { Duration, Effect, Option } from "effect"
import { Ledger } from "../../src/conversation/ledger.ts"
import { newId, SessionId, TurnId, UserId } from "../../src/schema.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { effectTest } from "../support/effect.ts"
import { storedParts } from "../support/stored-parts.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await makeDatabase()
})
afterAll(() => database.drop())

const parts = storedParts(Ledger.layer, () => database)

const addUser = Effect.promise(async () => {
  const [{ id }] = await database.sql`
    insert into users (email) values (gen_random_uuid() || '@example.com') returning id`
  return UserId.make(id)
})
const addSession = (userId: UserId) =>
  Effect.promise(async () => {
    const [{ id }] = await database.sql`insert into sessions (user_id) values (${userId}) returning id`
    return SessionId.make(id)
  })

effectTest(
  "the latest takeover has the session, and a deleted session nobody",
  Effect.gen(function* () {
    const ledger = yield* Ledger
    const userId = yield* addUser
    const [one, two] = [yield* addSession(userId), yield* addSession(userId)]
    const holder = (sessionId: SessionId, position: string, isStored = true) => ({
      userId,
      sessionId,
      position,
      isStored,
    })
    expect(yield* ledger.endedSessions([holder(one, "0"), holder(two, "0")])).toEqual([undefined, undefined])
    const first = yield* ledger.takeOver(userId, one)
    const second = yield* ledger.takeOver(userId, one)
    const stranger = yield* addUser
    yield* ledger.takeOver(stranger, two)
    const unstored = newId(SessionId)
    expect(
      yield* ledger.endedSessions([
        holder(one, "0"),
        holder(one, first),
        holder(one, second),
        holder(two, "0"),
        holder(unstored, "0", false),
        holder(unstored, "0"),
      ]),
    ).toEqual(["taken over", "taken over", undefined, undefined, undefined, "deleted"])
    // No turn waits for it.
    const id = newId(TurnId)
    const session = { id: one, isNew: false }
    const position = yield* ledger.open({ id, userId, session, idempotency: Option.none(), isAside: false })
    expect(yield* ledger.ahead(one, Option.getOrThrow(position))).toEqual(Option.none())
  }).pipe(Effect.provide(parts)),
)

effectTest(
  "a takeover is gone after a day, or with its session",
  Effect.gen(function* () {
    const ledger = yield* Ledger
    const userId = yield* addUser
    const [old, fresh, deleted] = [
      yield* addSession(userId),
      yield* addSession(userId),
      yield* addSession(userId),
    ]
    for (const id of [old, fresh, deleted]) yield* ledger.takeOver(userId, id)
    yield* Effect.promise(async () => {
      await database.sql`update turns set created_at = now() - interval '25 hours' where session_id = ${old}`
      await database.sql`delete from sessions where id = ${deleted}`
    })
    yield* ledger.expire(Option.some(Duration.days(30)))
    const rows = yield* Effect.promise(
      () => database.sql`select session_id, state, usage from turns where user_id = ${userId}`,
    )
    expect([...rows]).toMatchObject([
      { session_id: fresh, state: "completed", usage: { inputTokens: 0, outputTokens: 0 } },
    ])
  }).pipe(Effect.provide(parts)),
)
