import type * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import { Duration, Effect, Option, Schema } from "effect"
import { query, transaction } from "../db/postgres.ts"
import { findAll, findFirst } from "../db/rows.ts"
import { SessionId, TurnId } from "../schema.ts"
import { endedColumns, withTurnEvents } from "../webhooks/outbox.ts"
import type { WebhookSignal } from "../webhooks/signal.ts"
import { type NewItem, newItem } from "./item.ts"
import { keyExpiry } from "./keyed-turns.ts"
import type { makeItemWrites } from "./ledger-items.ts"
import { takeoverKeys } from "./ledger-takeovers.ts"
import { readWork } from "./recorded-work.ts"
import { type ContinuedWork, callItems, type RecordedWork, resultItem } from "./rounds.ts"
import { type NewTurn, TurnState } from "./stored-turn.ts"

/** How long after its lease a turn is marked as failed by the clean-up. */
const deadAfter = Duration.minutes(1)

/** What every end of a turn writes. */
export const ended = { leaseUntil: null, cancelRequested: false }
/** What frees an Idempotency-Key of a turn that has no speech. */
const keyFreed = { idempotencyKey: null, contentHash: null }
const replayFreed = { ...keyFreed, speech: null, speechFormat: null }

const Turn = Schema.Struct({ id: TurnId })
const DeadTurn = Schema.Struct({ id: TurnId, sessionId: SessionId, key: Schema.NullOr(Schema.String) })
const Released = Schema.Struct({
  state: TurnState,
  continues: Schema.NullOr(TurnId),
  hasEvents: Schema.Boolean,
})
const Lost = Schema.Struct({ hasEvents: Schema.Boolean })

/** What a dead turn adds to its conversation. How much of its words was heard is not known. */
const itemsOf = ({ transcript, brought, rounds }: RecordedWork): ReadonlyArray<NewItem> => [
  ...Option.toArray(transcript).map((text) => newItem({ type: "message", role: "user", text })),
  ...brought.map(resultItem),
  ...rounds.flatMap(({ messageId, text, calls }) => [
    ...(text === ""
      ? []
      : [
          {
            ...newItem({ type: "message", role: "assistant", text }, { interrupted: true }),
            id: messageId,
          },
        ]),
    ...callItems(calls),
  ]),
]

/** The ledger's writes to turns that no process runs: the clean-up, and keys that a new turn takes over. */
export const makeExpiry = (
  sql: SqlClient.SqlClient,
  items: Pick<ReturnType<typeof makeItemWrites>, "append" | "removeOf">,
  insert: (turn: NewTurn) => Effect.Effect<Option.Option<string>, SqlError>,
  wakeIf: WebhookSignal["Type"]["wakeIf"],
) => {
  const isDead = sql`state = 'running' and lease_until <= clock_timestamp()`

  /**
   * Frees the key of a turn that did not complete, unless its rounds are recorded: then a retry with the key continues them.
   * Part of an update's `set`.
   */
  const keyFreedWithoutRounds = sql`
    idempotency_key = case when exists (select 1 from turn_rounds where turn_id = turns.id) then idempotency_key end,
    content_hash = case when exists (select 1 from turn_rounds where turn_id = turns.id) then content_hash end`

  /** Rounds that no retry can ask for any more. */
  const dropRounds = (id: TurnId) =>
    sql`delete from turn_rounds using turns where turn_id = ${id} and turns.id = turn_id
      and state <> 'running' and (state = 'completed' or idempotency_key is null)`

  const freeKey = Effect.fn("Ledger.freeKey")(function* (id: TurnId) {
    yield* query(sql`update turns set ${sql.update(replayFreed)}
      where id = ${id} and (state <> 'running' or lease_until <= now())`)
    yield* query(dropRounds(id))
  })

  const continueTurn = Effect.fn("Ledger.continueTurn")((from: TurnId, turn: NewTurn) => {
    const released = findFirst(
      Released,
      withTurnEvents(
        sql,
        sql`update turns set ${sql.update({ ...ended, ...keyFreed })},
          state = case when state = 'running' then 'failed' else state end, ended_at = coalesce(ended_at, now())
        where id = ${from} and idempotency_key is not null and state <> 'completed'
          and (state <> 'running' or lease_until <= clock_timestamp())
        returning ${endedColumns(sql)}`,
        "lost",
        // The end of any other turn was told of when it came.
        { isTold: sql`ended_at = now()` },
      ),
    )
    const all = Effect.gen(function* () {
      const old = yield* released
      if (Option.isNone(old)) return { continued: Option.none(), hasEvents: false }
      const position = yield* insert(turn)
      if (Option.isNone(position)) return yield* Effect.dieMessage("a key that was just freed is in use")
      // An end that saved items replaced those of the turn before it.
      const { state, continues, hasEvents } = old.value
      const replaces = state === "failed" && continues !== null ? continues : from
      yield* sql`update turns set continues = ${replaces} where id = ${turn.id}`
      yield* sql`update turn_rounds set turn_id = ${turn.id} where turn_id = ${from}`
      const work = yield* readWork(sql, turn.id)
      const none: RecordedWork = { transcript: Option.none(), brought: [], rounds: [] }
      const continued: ContinuedWork = { ...Option.getOrElse(work, () => none), replaces }
      return { continued: Option.some({ position: position.value, work: continued }), hasEvents }
    })
    return transaction(sql, all).pipe(
      Effect.tap(({ hasEvents }) => wakeIf(hasEvents)),
      Effect.map(({ continued }) => continued),
    )
  })

  const recoverTurn = ({ id, sessionId, key }: typeof DeadTurn.Type) =>
    Effect.gen(function* () {
      const work = yield* readWork(sql, id)
      if (Option.isNone(work)) return false
      const transcript = Option.getOrElse(work.value.transcript, () => "")
      const response = work.value.rounds.map(({ text }) => text).join(" ")
      const closed = findFirst(
        Released,
        withTurnEvents(
          sql,
          sql`update turns set ${sql.update({ ...ended, state: "interrupted", transcript, response })}, ended_at = now()
            where id = ${id} and ${isDead} returning ${endedColumns(sql)}`,
          "lost",
        ),
      )
      const saved = yield* closed
      if (Option.isNone(saved)) return false
      if (saved.value.continues !== null) yield* items.removeOf(saved.value.continues)
      yield* items.append(sessionId, id, itemsOf(work.value))
      if (key === null) yield* dropRounds(id)
      return saved.value.hasEvents
    })

  const recoverAll = (dead: Effect.Effect<ReadonlyArray<typeof DeadTurn.Type>, SqlError>) =>
    Effect.flatMap(query(dead), (turns) =>
      Effect.forEach(turns, (turn) => Effect.flatMap(transaction(sql, recoverTurn(turn)), wakeIf), {
        discard: true,
      }),
    )

  const deadTurns = sql`select id, session_id, idempotency_key as key from turns
    where ${isDead} and not is_aside and exists (select 1 from turn_rounds where turn_id = turns.id)
      and exists (select 1 from sessions where sessions.id = session_id)`

  const recover = Effect.fn("Ledger.recover")((sessionId: SessionId) =>
    recoverAll(findAll(DeadTurn, sql`${deadTurns} and session_id = ${sessionId} order by sequence`)),
  )

  const endDead = Effect.gen(function* () {
    const isLongDead = sql`state = 'running'
      and lease_until < now() - make_interval(secs => ${Duration.toSeconds(deadAfter)})`
    yield* recoverAll(findAll(DeadTurn, sql`${deadTurns} and ${isLongDead} order by session_id, sequence`))
    const dead = yield* findAll(
      Lost,
      withTurnEvents(
        sql,
        sql`update turns set ${sql.update({ ...ended, state: "failed" })}, ${keyFreedWithoutRounds}, ended_at = now()
          where ${isLongDead} returning ${endedColumns(sql)}`,
        "lost",
      ),
    )
    yield* wakeIf(dead.some(({ hasEvents }) => hasEvents))
    return dead.length
  }).pipe(Effect.withSpan("Ledger.endDead"))

  const expire = Effect.fn("Ledger.expire")(function* (retention: Option.Option<Duration.Duration>) {
    const dead = yield* endDead
    const failed = Option.isNone(retention)
      ? []
      : yield* sql`delete from turns where state = 'failed'
          and ended_at < now() - make_interval(secs => ${Duration.toSeconds(retention.value)}) returning 1`
    // No Realtime connection lasts as long.
    yield* sql`delete from turns where idempotency_key like ${takeoverKeys} and created_at < ${keyExpiry(sql)}`
    const keys = yield* findAll(
      Turn,
      sql`update turns set ${sql.update(replayFreed)}
        where idempotency_key is not null and created_at < ${keyExpiry(sql)} returning id`,
    )
    yield* Effect.forEach(keys, ({ id }) => dropRounds(id), { discard: true })
    return { dead, failed: failed.length, keys: keys.length }
  })

  return { freeKey, continueTurn, recover, endDead, expire, keyFreedWithoutRounds, dropRounds }
}
