import { afterAll, beforeAll, expect } from "bun:test"
import { Chunk, Clock, Duration, Effect, Fiber, Layer, Option, TestClock } from "effect"
import * as CleanUp from "../../src/conversation/clean-up.ts"
import * as Endings from "../../src/conversation/endings.ts"
import { History } from "../../src/conversation/history.ts"
import { newItem } from "../../src/conversation/item.ts"
import { KeyedTurns } from "../../src/conversation/keyed-turns.ts"
import { Ledger } from "../../src/conversation/ledger.ts"
import type { RecordedCall } from "../../src/conversation/rounds.ts"
import { RunningTurns } from "../../src/conversation/running-turns.ts"
import { SessionItems } from "../../src/conversation/session-items.ts"
import type { EndedTurn, NewTurn } from "../../src/conversation/stored-turn.ts"
import { ToolCalls } from "../../src/conversation/tool-calls.ts"
import { ItemId, newId, noUsage, SessionId, TurnId, UserId } from "../../src/schema.ts"
import { WebhookSignal } from "../../src/webhooks/signal.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { effectTest } from "../support/effect.ts"
import { storedParts } from "../support/stored-parts.ts"
import { until } from "../support/turns.ts"
import { readEvent } from "../support/webhook-endpoint.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await makeDatabase()
})
afterAll(() => database.drop())

const parts = storedParts(
  SessionItems.layer.pipe(
    Layer.provideMerge(RunningTurns.layer),
    Layer.provideMerge(Layer.mergeAll(Ledger.layer, History.layer, KeyedTurns.layer, ToolCalls.layer)),
    Layer.provideMerge(WebhookSignal.layer),
  ),
  () => database,
  { SESSION_TIMEOUT_MINUTES: "30" },
)

const everyEvent = "{turn.completed,turn.failed,session.expired,tool.called}"

/** A user with a webhook for every event, and a stored session. */
const addUser = Effect.promise(async () => {
  const [{ id }] = await database.sql`
    insert into users (email) values (gen_random_uuid() || '@example.com') returning id`
  await database.sql`insert into webhooks (id, user_id, url, events, secret)
    values (gen_random_uuid(), ${id}, 'https://example.com', ${everyEvent}, '')`
  const session = { id: newId(SessionId), isNew: false }
  await database.sql`insert into sessions (id, user_id) values (${session.id}, ${id})`
  return { userId: UserId.make(id), session }
})

const newTurn = (user: Effect.Effect.Success<typeof addUser>, more: Partial<NewTurn> = {}): NewTurn => ({
  ...user,
  id: newId(TurnId),
  idempotency: Option.none(),
  isAside: false,
  ...more,
})

const endOf = (turn: NewTurn, state: EndedTurn["state"], more: Partial<EndedTurn> = {}): EndedTurn => ({
  ...turn,
  state,
  items: [newItem({ type: "message", role: "user", text: "Hi" })],
  transcript: "Hi",
  response: "Hello.",
  speech: Option.none(),
  speechFormat: "none",
  timings: {},
  usage: noUsage,
  ...more,
})

/** What the webhook of the user is to get, in order. */
const eventsOf = ({ userId }: { readonly userId: UserId }) =>
  Effect.promise(async () => {
    const rows = await database.sql`
      select type, occurred_at, data from webhook_deliveries where webhook_id in (select id from webhooks where user_id = ${userId})
      order by sequence`
    return [...rows].map(({ type, occurred_at, data }) => {
      readEvent({ type, timestamp: occurred_at.toISOString(), data })
      return { type, ...data }
    })
  })

const kill = (id: TurnId, seconds = 1) =>
  Effect.promise(
    () =>
      database.sql`update turns set lease_until = now() - make_interval(secs => ${seconds}) where id = ${id}`,
  )

const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
const paid = { ...noUsage, inputTokens: 1 }

effectTest(
  "a turn has one event, however it ends and however often that is saved",
  Effect.gen(function* () {
    const ledger = yield* Ledger
    for (const state of ["completed", "interrupted", "cancelled"] as const) {
      const user = yield* addUser
      const turn = newTurn(user)
      yield* ledger.open(turn)
      expect(yield* eventsOf(user)).toEqual([])
      yield* ledger.save(endOf(turn, state))
      yield* ledger.save(endOf(turn, state))
      yield* ledger.fail({ id: turn.id, timings: {}, usage: paid })
      expect(yield* eventsOf(user)).toEqual([
        {
          type: "turn.completed",
          turnId: turn.id,
          sessionId: user.session.id,
          agentId: "default",
          agentVersion: null,
          status: state,
          startedAt: time,
          endedAt: time,
        },
      ])
    }
    for (const usage of [noUsage, paid]) {
      const user = yield* addUser
      const turn = newTurn(user)
      yield* ledger.open(turn)
      yield* ledger.fail({ id: turn.id, timings: {}, usage })
      yield* ledger.fail({ id: turn.id, timings: {}, usage })
      expect(yield* eventsOf(user)).toMatchObject([
        {
          type: "turn.failed",
          turnId: turn.id,
          status: "failed",
          reason: "failed",
          startedAt: time,
          endedAt: time,
        },
      ])
    }
    const user = yield* addUser
    const turn = newTurn(user)
    yield* ledger.open(turn)
    yield* ledger.save(endOf(turn, "interrupted", { isFailure: true }))
    expect(yield* eventsOf(user)).toMatchObject([
      { type: "turn.failed", status: "interrupted", reason: "failed" },
    ])
  }).pipe(Effect.provide(parts)),
)

effectTest(
  "a failed turn has its error's code, and a refused one has no event",
  Effect.gen(function* () {
    const ledger = yield* Ledger
    const user = yield* addUser
    const [failed, refused, cut] = [newTurn(user), newTurn(user), newTurn(user)]
    for (const turn of [failed, refused, cut]) yield* ledger.open(turn)
    yield* ledger.fail({ id: failed.id, timings: {}, usage: paid, code: "LLM_FAILED" })
    yield* ledger.fail({
      id: refused.id,
      timings: {},
      usage: noUsage,
      code: "QUOTA_EXCEEDED",
      isRefused: true,
    })
    yield* ledger.save(endOf(cut, "interrupted", { isFailure: true, code: "TTS_FAILED" }))
    expect(yield* eventsOf(user)).toMatchObject([
      { type: "turn.failed", turnId: failed.id, reason: "failed", code: "LLM_FAILED" },
      { type: "turn.failed", turnId: cut.id, reason: "failed", code: "TTS_FAILED" },
    ])
  }).pipe(Effect.provide(parts)),
)

effectTest(
  "the sender of the process wakes for events, and only for those",
  Effect.gen(function* () {
    const [ledger, record, signal] = [yield* Ledger, yield* ToolCalls, yield* WebhookSignal]
    const [user, other] = [yield* addUser, yield* addUser]
    yield* Effect.promise(() => database.sql`delete from webhooks where user_id = ${other.userId}`)
    // After the calls that came before.
    const drained = Effect.zipRight(TestClock.adjust("1 seconds"), signal.wait(Duration.zero))
    const sender = Effect.zipRight(drained, Effect.fork(signal.wait(Duration.days(1))))
    const withTurn = Effect.fnUntraced(function* (of: typeof user) {
      const turns = [newTurn(of), newTurn(of), newTurn(of)] as const
      for (const turn of turns) yield* ledger.open(turn)
      const call = callOf("call_1")
      const round = {
        turnId: turns[0].id,
        round: 0,
        transcript: Option.none(),
        messageId: newId(ItemId),
        text: "",
      }
      yield* record.begin({ ...round, brought: [], calls: [call] })
      return [
        record.finish(call.itemId, { itemId: newId(ItemId), output: "", isError: false }),
        ledger.save(endOf(turns[0], "completed")),
        ledger.fail({ id: turns[1].id, timings: {}, usage: paid }),
        ledger.fail({ id: turns[2].id, timings: {}, usage: noUsage }),
      ] as const
    })
    for (const end of yield* withTurn(user)) {
      const woken = yield* sender
      yield* end
      yield* Fiber.join(woken)
    }
    // Without a request: dead turns of each kind, and sessions that expire.
    const lost = newTurn(user)
    yield* ledger.open(lost)
    yield* kill(lost.id, 61)
    const [dead, recovered, continued] = [
      yield* killedInCall(61),
      yield* killedInCall(1),
      yield* killedInCall(1),
    ]
    const idling = yield* addUser
    yield* idle(idling, 31)
    const retry = { ...newTurn(continued.user), idempotency: continued.turn.idempotency }
    for (const end of [
      ledger.endDead,
      ledger.recover(recovered.user.session.id),
      ledger.continueTurn(continued.turn.id, retry),
      look(checked(idling)),
    ]) {
      const woken = yield* sender
      yield* end
      yield* Fiber.join(woken)
    }
    expect(yield* eventsOf(dead.user)).toHaveLength(2)
    const asleep = yield* sender
    yield* Effect.all(yield* withTurn(other))
    yield* ledger.endDead
    yield* look(checked(idling))
    expect(yield* Fiber.poll(asleep)).toEqual(Option.none())
  }).pipe(Effect.provide(parts)),
)

effectTest(
  "no event without its turn's save",
  Effect.gen(function* () {
    const ledger = yield* Ledger
    const user = yield* addUser
    const turn = newTurn(user)
    yield* ledger.open(turn)
    // The items have a session that does not exist.
    const item = newItem({ type: "message", role: "user", text: "Hi" })
    const twice = endOf(turn, "completed", { items: [item, item] })
    yield* Effect.flip(ledger.save(twice))
    expect(yield* eventsOf(user)).toEqual([])
    yield* ledger.save(endOf(turn, "completed"))
    expect(yield* eventsOf(user)).toHaveLength(1)
  }).pipe(Effect.provide(parts)),
)

effectTest(
  "a turn whose process was killed has failed, within a minute after its lease",
  Effect.gen(function* () {
    const ledger = yield* Ledger
    const [user, other] = [yield* addUser, yield* addUser]
    const [long, short] = [newTurn(user), newTurn(other)]
    for (const turn of [long, short]) yield* ledger.open(turn)
    yield* kill(long.id, 61)
    yield* kill(short.id, 50)
    yield* ledger.endDead
    yield* ledger.endDead
    yield* CleanUp.cleanUp
    expect(yield* eventsOf(user)).toMatchObject([
      { type: "turn.failed", turnId: long.id, status: "failed", reason: "lost" },
    ])
    expect(yield* eventsOf(other)).toEqual([])
  }).pipe(Effect.provide(parts)),
)

const callOf = (callId: string): RecordedCall => ({
  itemId: newId(ItemId),
  callId,
  name: "weather",
  arguments: "{}",
  by: "service",
  result: Option.none(),
})
const key = { key: "k1", contentHash: "a".repeat(64) }

/** A turn that was killed in a call of a tool. */
const killedInCall = Effect.fnUntraced(function* (seconds: number) {
  const [ledger, record] = [yield* Ledger, yield* ToolCalls]
  const user = yield* addUser
  const turn = newTurn(user, { idempotency: Option.some(key) })
  yield* ledger.open(turn)
  const [done, open] = [callOf("call_1"), callOf("call_2")]
  const round = {
    turnId: turn.id,
    round: 0,
    transcript: Option.some("Hi"),
    messageId: newId(ItemId),
    text: "",
  }
  yield* record.begin({ ...round, brought: [], calls: [done, open] })
  const result = { itemId: newId(ItemId), output: "Sunny.", isError: false }
  yield* record.finish(done.itemId, result)
  yield* record.finish(done.itemId, { ...result, output: "Rain.", isError: true })
  yield* kill(turn.id, seconds)
  return { user, turn, done }
})

effectTest(
  "the outcome of a tool call has an event, once, without what was asked and answered",
  Effect.gen(function* () {
    const { user, turn, done } = yield* killedInCall(1)
    expect(yield* eventsOf(user)).toEqual([
      {
        type: "tool.called",
        turnId: turn.id,
        sessionId: user.session.id,
        itemId: done.itemId,
        callId: "call_1",
        tool: "weather",
        isError: false,
        startedAt: time,
        endedAt: time,
      },
    ])
    const [{ output }] = yield* Effect.promise(
      () => database.sql`select output from tool_calls where id = ${done.itemId}`,
    )
    expect(output).toBe("Sunny.")
  }).pipe(Effect.provide(parts)),
)

effectTest(
  "a killed turn that is recovered, or continued by a retry, has failed",
  Effect.gen(function* () {
    const [ledger, running] = [yield* Ledger, yield* RunningTurns]
    const failed = (turn: NewTurn, status: string) => [
      { type: "tool.called" },
      { type: "turn.failed", turnId: turn.id, status, reason: "lost" },
    ]
    const recovered = yield* killedInCall(1)
    yield* ledger.recover(recovered.user.session.id)
    yield* ledger.recover(recovered.user.session.id)
    expect(yield* eventsOf(recovered.user)).toMatchObject(failed(recovered.turn, "interrupted"))
    const swept = yield* killedInCall(61)
    yield* ledger.endDead
    expect(yield* eventsOf(swept.user)).toMatchObject(failed(swept.turn, "interrupted"))
    const continued = yield* killedInCall(1)
    const retry = { ...continued.turn, id: newId(TurnId) }
    yield* running.claim(retry)
    expect(yield* eventsOf(continued.user)).toMatchObject(failed(continued.turn, "failed"))
    yield* ledger.save(endOf(retry, "completed"))
    expect(yield* eventsOf(continued.user)).toMatchObject([
      ...failed(continued.turn, "failed"),
      { type: "turn.completed", turnId: retry.id },
    ])
    // The end of a turn that failed before was told of.
    const early = yield* killedInCall(-60)
    yield* ledger.fail({ id: early.turn.id, timings: {}, usage: paid })
    yield* running.claim({ ...early.turn, id: newId(TurnId) })
    expect(yield* eventsOf(early.user)).toMatchObject([
      { type: "tool.called" },
      { type: "turn.failed", turnId: early.turn.id, reason: "failed" },
    ])
  }).pipe(Effect.scoped, Effect.provide(parts)),
)

effectTest(
  "an answer that began too early has no event, unless it is adopted",
  Effect.gen(function* () {
    const ledger = yield* Ledger
    const user = yield* addUser
    const speculative = () => newTurn(user, { isAside: true, isSpeculative: true })
    const [dropped, killed, adopted] = [speculative(), speculative(), speculative()]
    for (const turn of [dropped, killed, adopted]) yield* ledger.open(turn)
    yield* ledger.fail({ id: dropped.id, timings: {}, usage: paid })
    yield* kill(killed.id, 61)
    yield* ledger.endDead
    yield* ledger.enqueue(adopted.id, user.session.id)
    yield* ledger.save(endOf(adopted, "completed"))
    expect(yield* eventsOf(user)).toMatchObject([{ type: "turn.completed", turnId: adopted.id }])
  }).pipe(Effect.provide(parts)),
)

effectTest(
  "changes of the items alone have no event",
  Effect.gen(function* () {
    const [items, ledger] = [yield* SessionItems, yield* Ledger]
    const user = yield* addUser
    const item = newItem({ type: "message", role: "user", text: "Hi" })
    yield* items.append(user.userId, user.session, [item], { usage: {}, place: "end" })
    yield* items.remove(user.userId, user.session.id, item.id)
    yield* Effect.flip(items.remove(user.userId, user.session.id, item.id))
    const killed = newTurn(user, { hasReply: false })
    yield* ledger.open(killed)
    yield* kill(killed.id, 61)
    expect(yield* ledger.endDead).toBe(1)
    yield* ledger.takeOver(user.userId, user.session.id)
    expect(yield* eventsOf(user)).toEqual([])
  }).pipe(Effect.provide(parts)),
)

const idle = (user: Effect.Effect.Success<typeof addUser>, minutes: number, webhookMinutes = 60) =>
  Effect.promise(async () => {
    await database.sql`update sessions set last_activity_at = now() - make_interval(secs => 60 * ${minutes}::float8) where id = ${user.session.id}`
    await database.sql`update webhooks set sessions_checked_at = now() - make_interval(mins => ${webhookMinutes}::int) where user_id = ${user.userId}`
  })
/** One look of the layer, which repeats it every 30 s of the test clock. */
const look = (done: () => Promise<unknown>) =>
  Effect.gen(function* () {
    yield* Layer.build(Endings.layer)
    // Its fiber may begin its pause late.
    const end = (yield* Clock.currentTimeMillis) + 30_000
    const begun = Effect.map(
      TestClock.sleeps(),
      Chunk.some((sleep) => sleep >= end),
    )
    yield* Effect.repeat(Effect.zipLeft(begun, Effect.yieldNow()), { until: (isBegun) => isBegun })
    yield* TestClock.adjust("30 seconds")
    yield* Effect.promise(() => until(done, "the look"))
  }).pipe(Effect.scoped)
const checked =
  ({ userId }: { readonly userId: UserId }) =>
  async () => {
    const rows = await database.sql`
    select 1 from webhooks where user_id = ${userId} and sessions_checked_at > now() - interval '1 minute'`
    return rows.length > 0
  }

effectTest(
  "a session that expires has one event",
  Effect.gen(function* () {
    const users = [yield* addUser, yield* addUser, yield* addUser, yield* addUser] as const
    const [expired, active, before, disabled] = users
    yield* idle(expired, 31)
    yield* idle(active, 29)
    // It expired before the webhook was there.
    yield* idle(before, 45, 10)
    yield* idle(disabled, 31)
    yield* Effect.promise(
      () => database.sql`update webhooks set enabled = false where user_id = ${disabled.userId}`,
    )
    yield* look(checked(expired))
    yield* Effect.promise(() => until(checked(active), "the others"))
    const [event, ...more] = yield* eventsOf(expired)
    expect(more).toEqual([])
    expect(Date.parse(event.expiredAt) - Date.parse(event.lastActivityAt)).toBe(30 * 60_000)
    expect(event).toMatchObject({
      type: "session.expired",
      sessionId: expired.session.id,
      agentId: "default",
      lastActivityAt: time,
      expiredAt: time,
    })
    for (const user of [active, before, disabled]) expect(yield* eventsOf(user)).toEqual([])

    // Looked at again, nothing is told twice. A session that goes on may expire once more.
    yield* Effect.promise(
      () =>
        database.sql`update webhooks set sessions_checked_at = now() - interval '1 minute' where user_id = ${active.userId}`,
    )
    yield* idle(active, 30.5, 1)
    yield* look(checked(active))
    expect(yield* eventsOf(active)).toHaveLength(1)
    expect(yield* eventsOf(expired)).toHaveLength(1)
  }).pipe(Effect.provide(parts)),
)

effectTest(
  "several processes that look at once tell of a session once",
  Effect.gen(function* () {
    const user = yield* addUser
    yield* idle(user, 31)
    yield* Effect.all(
      Array.from({ length: 8 }, () => look(checked(user))),
      { concurrency: "unbounded" },
    )
    expect(yield* eventsOf(user)).toHaveLength(1)
  }).pipe(Effect.provide(parts)),
)

effectTest(
  "the clean-up deletes expired secrets",
  Effect.gen(function* () {
    const user = yield* addUser
    yield* Effect.promise(
      () => database.sql`insert into webhook_old_secrets (webhook_id, secret, expires_at)
        select id, given.secret, now() + hours * interval '1 hour' from webhooks, (values ('a', -0.1), ('b', 0.1)) as given (secret, hours)
        where user_id = ${user.userId}`,
    )
    expect(yield* CleanUp.cleanUp).toMatchObject({ webhookSecrets: 1 })
    const left = yield* Effect.promise(
      () => database.sql`select old.secret from webhook_old_secrets as old join webhooks on webhooks.id = webhook_id
        where user_id = ${user.userId}`,
    )
    expect([...left]).toEqual([{ secret: "b" }])
  }).pipe(Effect.provide(parts)),
)

effectTest(
  "the clean-up deletes deliveries 7 days after their end",
  Effect.gen(function* () {
    const user = yield* addUser
    yield* Effect.promise(
      () => database.sql`
        insert into webhook_deliveries (webhook_id, type, data, state, next_attempt_at, occurred_at, ended_at)
        select webhooks.id, 'turn.completed', jsonb_build_object('n', n), state, case when state = 'pending' then now() end,
          now() - interval '9 days', case when state <> 'pending' then now() - age * interval '1 day' end
        from webhooks, (values (1, 'delivered', 7.1), (2, 'failed', 6.9), (3, 'pending', 0), (4, 'failed', 8)) as given (n, state, age)
        where user_id = ${user.userId}`,
    )
    expect(yield* CleanUp.cleanUp).toMatchObject({ deliveries: 2 })
    const left = yield* Effect.promise(
      () => database.sql`select data from webhook_deliveries where webhook_id in
        (select id from webhooks where user_id = ${user.userId}) order by sequence`,
    )
    expect([...left]).toEqual([{ data: { n: 2 } }, { data: { n: 3 } }])
  }).pipe(Effect.provide(parts)),
)
