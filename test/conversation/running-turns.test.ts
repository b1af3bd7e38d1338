import { afterAll, beforeAll, expect } from "bun:test"
import { Effect, Fiber, Layer, Option } from "effect"
import { KeyedTurns } from "../../src/conversation/keyed-turns.ts"
import { Ledger } from "../../src/conversation/ledger.ts"
import { RunningTurns } from "../../src/conversation/running-turns.ts"
import { newId, SessionId, TurnId } from "../../src/schema.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { effectTest } from "../support/effect.ts"
import { storedParts } from "../support/stored-parts.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await makeDatabase()
})
afterAll(() => database.drop())

/** As the service has it, on a database of its own. */
const parts = storedParts(
  RunningTurns.layer.pipe(Layer.provideMerge(Layer.merge(Ledger.layer, KeyedTurns.layer))),
  () => database,
)

/** A turn of a new user, registered here; what it is told while it is so. */
const begin = Effect.fnUntraced(function* (state: "running" | "completed") {
  const running = yield* RunningTurns
  const [turn] = yield* Effect.promise(
    () => database.sql`with ada as (
        insert into users (email) values (gen_random_uuid() || '@example.com') returning id
      )
      insert into turns (id, user_id, session_id, state, lease_until)
      select gen_random_uuid(), id, gen_random_uuid(), ${state},
        case ${state} when 'running' then now() + interval '15 seconds' end
      from ada returning id, user_id`,
  )
  const told = yield* Effect.fork(Effect.flip(yield* running.register(turn.id)))
  return { id: `${turn.id}`, cancel: running.cancel(turn.user_id, turn.id), told }
})

effectTest(
  "a turn that is saved, and not yet answered to its end, is not told of a cancellation; one that runs is",
  Effect.gen(function* () {
    const saved = yield* begin("completed")
    yield* saved.cancel
    expect(yield* Fiber.poll(saved.told)).toEqual(Option.none())

    const running = yield* begin("running")
    const cancelled = yield* Effect.fork(running.cancel)
    expect(yield* Fiber.join(running.told)).toMatchObject({ _tag: "TurnCancelled" })
    yield* Fiber.interrupt(cancelled)
  }).pipe(Effect.provide(parts)),
)

effectTest(
  "a turn runs as soon as the one before it has left, though that one is not over",
  Effect.gen(function* () {
    const running = yield* RunningTurns
    const ledger = yield* Ledger
    const [user] = yield* Effect.promise(
      () => database.sql`insert into users (email) values (gen_random_uuid() || '@example.com') returning id`,
    )
    const session = { id: newId(SessionId), isNew: true }
    const enter = Effect.fnUntraced(function* () {
      const turn = { id: newId(TurnId), userId: user.id, session, idempotency: Option.none(), isAside: false }
      yield* Effect.asVoid(running.register(turn.id))
      const claim = yield* running.claim(turn)
      if (claim._tag !== "First") throw new Error("there is no key")
      yield* claim.ticket.issued
      return { id: turn.id, ticket: claim.ticket }
    })
    const first = yield* enter()
    const second = yield* enter()
    const ready = yield* Effect.fork(second.ticket.ready)
    const usage = { audioSeconds: 0, inputTokens: 0, outputTokens: 0, charactersSpoken: 0 }
    yield* ledger.fail({ id: first.id, timings: {}, usage })
    yield* first.ticket.leave
    // The test clock stands still: neither a poll nor a heartbeat ends the wait.
    yield* Fiber.join(ready)
    yield* first.ticket.leave
  }).pipe(Effect.provide(parts)),
)
