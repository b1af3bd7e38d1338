import { afterAll, beforeAll, expect } from "bun:test"
import { Effect, Layer, Option } from "effect"
import { History } from "../../src/conversation/history.ts"
import { newItem } from "../../src/conversation/item.ts"
import { KeyedTurns } from "../../src/conversation/keyed-turns.ts"
import { Ledger } from "../../src/conversation/ledger.ts"
import type { CallResult, RecordedCall } from "../../src/conversation/rounds.ts"
import { RunningTurns } from "../../src/conversation/running-turns.ts"
import type { EndedTurn, NewTurn } from "../../src/conversation/stored-turn.ts"
import { type BegunRound, ToolCalls } from "../../src/conversation/tool-calls.ts"
import { ItemId, newId, noUsage, SessionId, TurnId, UserId } from "../../src/schema.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { effectTest } from "../support/effect.ts"
import { storedParts } from "../support/stored-parts.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await makeDatabase()
})
afterAll(() => database.drop())

const parts = storedParts(
  RunningTurns.layer.pipe(
    Layer.provideMerge(Layer.mergeAll(Ledger.layer, History.layer, KeyedTurns.layer, ToolCalls.layer)),
  ),
  () => database,
)

const key = { key: "k1", contentHash: "a".repeat(64) }

/** A turn of a user with a stored session. */
const newTurn = Effect.fnUntraced(function* (idempotency = Option.none<typeof key>()) {
  const session = { id: newId(SessionId), isNew: false }
  const userId = yield* Effect.promise(async () => {
    const [{ id }] = await database.sql`
      insert into users (email) values (gen_random_uuid() || '@example.com') returning id`
    await database.sql`insert into sessions (id, user_id) values (${session.id}, ${id})`
    return UserId.make(id)
  })
  return { id: newId(TurnId), userId, session, idempotency, isAside: false } satisfies NewTurn
})

const callOf = (callId: string, by: RecordedCall["by"] = "service"): RecordedCall => ({
  itemId: newId(ItemId),
  callId,
  name: "weather",
  arguments: '{"city":"Oslo\u0000"}',
  by,
  result: Option.none(),
})

const roundOf = (turnId: TurnId, round: number, ...calls: ReadonlyArray<RecordedCall>): BegunRound => ({
  turnId,
  round,
  transcript: Option.some("How is Oslo?"),
  brought: [],
  messageId: newId(ItemId),
  text: round === 0 ? "Let me see." : "",
  calls,
})

const sunny = (): CallResult => ({ itemId: newId(ItemId), output: "Sunny.", isError: false })

const kill = (id: TurnId) =>
  Effect.promise(
    () => database.sql`update turns set lease_until = now() - interval '1 second' where id = ${id}`,
  )

const stateOf = (id: TurnId) =>
  Effect.promise(async () => {
    const [row] = await database.sql`select state, idempotency_key as key,
      (select count(*)::int from turn_rounds where turn_id = turns.id) as rounds from turns where id = ${id}`
    return row
  })

const shown = (sessionId: SessionId) =>
  Effect.map(
    Effect.flatMap(History, (history) => history.newest(sessionId, 50)),
    (items) =>
      items.map(({ payload, interrupted }) => {
        const text = "text" in payload ? payload.text : "output" in payload ? payload.output : payload.callId
        return `${payload.type} ${text}${interrupted ? " (cut)" : ""}`
      }),
  )

const endOf = (turn: NewTurn, state: EndedTurn["state"], items: EndedTurn["items"] = []): EndedTurn => ({
  ...turn,
  state,
  items,
  transcript: "How is Oslo?",
  response: "",
  speech: state === "completed" ? Option.some(new Uint8Array()) : Option.none(),
  speechFormat: "none",
  timings: {},
  usage: noUsage,
})

effectTest(
  "a round is recorded with its calls, once",
  Effect.gen(function* () {
    const [ledger, record] = [yield* Ledger, yield* ToolCalls]
    const turn = yield* newTurn()
    yield* ledger.open(turn)
    const [one, other] = [callOf("call_1"), callOf("call_2", "client")]
    const round = roundOf(turn.id, 0, one, other)
    yield* record.begin(round)
    yield* record.begin(round)
    yield* record.finish(one.itemId, { ...sunny(), output: "Sunny\u0000." })
    const rows = yield* Effect.promise(
      () =>
        database.sql`select call_id, run_by, output, arguments from tool_calls where turn_id = ${turn.id} order by place`,
    )
    const args = '{"city":"Oslo"}'
    expect([...rows]).toEqual([
      { call_id: "call_1", run_by: "service", output: "Sunny.", arguments: args },
      { call_id: "call_2", run_by: "client", output: null, arguments: args },
    ])
  }).pipe(Effect.provide(parts)),
)

effectTest(
  "no call is recorded for a turn that may not go on",
  Effect.gen(function* () {
    const [ledger, record] = [yield* Ledger, yield* ToolCalls]
    const turn = yield* newTurn()
    yield* ledger.open(turn)
    const begin = Effect.flip(record.begin(roundOf(turn.id, 0, callOf("call_1"))))
    yield* ledger.requestCancel(turn.userId, turn.id)
    expect(yield* begin).toMatchObject({ _tag: "TurnCancelled" })
    yield* kill(turn.id)
    expect(yield* begin).toMatchObject({ _tag: "DatabaseUnavailable" })
    yield* Effect.promise(() => database.sql`delete from turns where id = ${turn.id}`)
    expect(yield* begin).toMatchObject({ _tag: "SessionNotFound" })
    const rows = yield* Effect.promise(
      () => database.sql`select 1 from tool_calls where turn_id = ${turn.id}`,
    )
    expect([...rows]).toEqual([])
  }).pipe(Effect.provide(parts)),
)

/** A turn with a round whose first call has returned, and that ends as `end` says. */
const cutOff = Effect.fnUntraced(function* (
  end: "killed" | "failed" | "interrupted",
  idempotency = Option.some(key),
) {
  const [ledger, record] = [yield* Ledger, yield* ToolCalls]
  const turn = yield* newTurn(idempotency)
  yield* ledger.open(turn)
  const [done, lost] = [callOf("call_1"), callOf("call_2")]
  const round = roundOf(turn.id, 0, done, lost)
  yield* record.begin(round)
  yield* record.finish(done.itemId, sunny())
  if (end === "killed") yield* kill(turn.id)
  if (end === "failed") {
    yield* ledger.fail({ id: turn.id, timings: {}, usage: { ...noUsage, inputTokens: 1 } })
  }
  if (end === "interrupted") {
    yield* ledger.save(endOf(turn, "interrupted", [newItem({ type: "message", role: "user", text: "old" })]))
  }
  return { turn, round, done, lost }
})

effectTest(
  "a retry with the same key continues a turn that was cut off",
  Effect.gen(function* () {
    const running = yield* RunningTurns
    const ledger = yield* Ledger
    for (const end of ["killed", "failed", "interrupted"] as const) {
      const { turn, done } = yield* cutOff(end)
      const retry = { ...turn, id: newId(TurnId) }
      const claim = yield* running.claim(retry)
      expect(claim).toMatchObject({ _tag: "First" })
      const { continued } = claim._tag === "First" ? claim : { continued: Option.none() }
      expect(Option.getOrUndefined(continued)).toMatchObject({
        replaces: turn.id,
        transcript: Option.some("How is Oslo?"),
        rounds: [
          {
            text: "Let me see.",
            calls: [
              { itemId: done.itemId, result: Option.some({ output: "Sunny." }) },
              { callId: "call_2", result: Option.none() },
            ],
          },
        ],
      })
      expect(yield* stateOf(turn.id)).toMatchObject({ key: null, rounds: 0 })
      expect(yield* stateOf(retry.id)).toEqual({ state: "running", key: "k1", rounds: 1 })
      yield* ledger.save(endOf(retry, "completed", [newItem({ type: "message", role: "user", text: "new" })]))
      // The items of the turn before are replaced, and the record is no longer needed.
      expect(yield* shown(turn.session.id)).toEqual(["message new"])
      expect(yield* stateOf(retry.id)).toEqual({ state: "completed", key: "k1", rounds: 0 })
    }
  }).pipe(Effect.scoped, Effect.provide(parts)),
)

effectTest(
  "a retry that is killed is continued as well, and replaces what the first one saved",
  Effect.gen(function* () {
    const running = yield* RunningTurns
    const [ledger, record] = [yield* Ledger, yield* ToolCalls]
    const { turn } = yield* cutOff("interrupted")
    const second = { ...turn, id: newId(TurnId) }
    yield* running.claim(second)
    yield* record.begin(roundOf(second.id, 1, callOf("call_3")))
    yield* kill(second.id)
    const third = { ...turn, id: newId(TurnId) }
    const claim = yield* running.claim(third)
    expect(claim).toMatchObject({
      continued: Option.some({
        replaces: turn.id,
        rounds: [{ calls: [{}, {}] }, { calls: [{ callId: "call_3" }] }],
      }),
    })
    yield* ledger.save(endOf(third, "completed", [newItem({ type: "message", role: "user", text: "new" })]))
    expect(yield* shown(turn.session.id)).toEqual(["message new"])
  }).pipe(Effect.scoped, Effect.provide(parts)),
)

effectTest(
  "of two retries one continues, and the other one waits for it",
  Effect.gen(function* () {
    const ledger = yield* Ledger
    const { turn } = yield* cutOff("killed")
    const taken = yield* Effect.forEach(
      [1, 2, 3],
      () => ledger.continueTurn(turn.id, { ...turn, id: newId(TurnId) }),
      { concurrency: "unbounded" },
    )
    expect(taken.filter(Option.isSome)).toHaveLength(1)
  }).pipe(Effect.provide(parts)),
)

effectTest(
  "the same key with another content is refused",
  Effect.gen(function* () {
    const running = yield* RunningTurns
    const { turn } = yield* cutOff("killed")
    const other = Option.some({ ...key, contentHash: "b".repeat(64) })
    expect(
      yield* Effect.flip(running.claim({ ...turn, id: newId(TurnId), idempotency: other })),
    ).toMatchObject({
      _tag: "IdempotencyKeyReused",
    })
  }).pipe(Effect.scoped, Effect.provide(parts)),
)

effectTest(
  "the next turn of a session finds what a dead one has done",
  Effect.gen(function* () {
    const ledger = yield* Ledger
    for (const idempotency of [Option.none(), Option.some(key)]) {
      const { turn } = yield* cutOff("killed", idempotency)
      yield* Effect.all([ledger.recover(turn.session.id), ledger.recover(turn.session.id)], {
        concurrency: 2,
      })
      const said = [
        "message How is Oslo?",
        "message Let me see. (cut)",
        "tool_call call_1",
        "tool_call call_2",
      ]
      expect(yield* shown(turn.session.id)).toEqual([...said, "tool_result Sunny."])
      // A retry may still continue it.
      const isKeyed = Option.isSome(idempotency)
      expect(yield* stateOf(turn.id)).toEqual({
        state: "interrupted",
        key: isKeyed ? "k1" : null,
        rounds: isKeyed ? 1 : 0,
      })
    }
    const { turn } = yield* cutOff("failed", Option.none())
    yield* ledger.recover(turn.session.id)
    expect(yield* shown(turn.session.id)).toEqual([])
    expect(yield* stateOf(turn.id)).toEqual({ state: "failed", key: null, rounds: 0 })
  }).pipe(Effect.provide(parts)),
)

effectTest(
  "the results that a turn began with outlive it",
  Effect.gen(function* () {
    const running = yield* RunningTurns
    const [ledger, record] = [yield* Ledger, yield* ToolCalls]
    for (const isKeyed of [true, false]) {
      const turn = yield* newTurn(isKeyed ? Option.some(key) : Option.none())
      yield* ledger.open(turn)
      const brought = [{ itemId: newId(ItemId), callId: "call_0", output: "open" }]
      yield* record.begin({
        ...roundOf(turn.id, 0, callOf("call_1")),
        transcript: Option.none(),
        brought,
      })
      yield* record.begin({
        ...roundOf(turn.id, 1, callOf(`call_2 ${isKeyed}`)),
        transcript: Option.none(),
        brought,
      })
      const rows = () => database.sql`select jsonb_array_length(brought) as brought from turn_rounds
        where turn_id = ${turn.id} order by round`
      expect([...(yield* Effect.promise(rows))]).toEqual([{ brought: 1 }, { brought: 0 }])
      yield* kill(turn.id)
      if (isKeyed) {
        const claim = yield* running.claim({ ...turn, id: newId(TurnId) })
        expect(claim).toMatchObject({ continued: Option.some({ transcript: Option.none(), brought }) })
        continue
      }
      yield* ledger.recover(turn.session.id)
      expect(yield* shown(turn.session.id)).toEqual([
        "tool_result open",
        "message Let me see. (cut)",
        "tool_call call_1",
        "tool_call call_2 false",
      ])
    }
  }).pipe(Effect.scoped, Effect.provide(parts)),
)

effectTest(
  "the clean-up saves what dead turns have done, and drops records with their keys",
  Effect.gen(function* () {
    const ledger = yield* Ledger
    const { turn } = yield* cutOff("killed")
    yield* Effect.promise(
      () => database.sql`update turns set lease_until = now() - interval '1 hour' where id = ${turn.id}`,
    )
    yield* ledger.expire(Option.none())
    expect(yield* stateOf(turn.id)).toEqual({ state: "interrupted", key: "k1", rounds: 1 })
    yield* Effect.promise(
      () => database.sql`update turns set created_at = now() - interval '2 days' where id = ${turn.id}`,
    )
    yield* ledger.expire(Option.none())
    expect(yield* stateOf(turn.id)).toEqual({ state: "interrupted", key: null, rounds: 0 })
    // They go with their session, too.
    const { turn: other } = yield* cutOff("failed")
    yield* Effect.promise(() => database.sql`delete from sessions where id = ${other.session.id}`)
    const left = yield* Effect.promise(
      () => database.sql`select 1 from tool_calls where turn_id = ${other.id}`,
    )
    expect([...left]).toEqual([])
  }).pipe(Effect.provide(parts)),
)
