import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Array as Arr, Context, Duration, Effect, Layer, Option, Schema } from "effect"
import { ConstraintViolated, type DatabaseError } from "../db/errors.ts"
import { query, transaction } from "../db/postgres.ts"
import { findAll, findFirst } from "../db/rows.ts"
import { transactionOnce } from "../db/transaction-once.ts"
import { type ItemId, type SessionId, TurnId, type UserId } from "../schema.ts"
import { isUsed, wholeNanos } from "../usage/bill.ts"
import { addUsageOf } from "../usage/usage-days.ts"
import { endedColumns, withTurnEvents } from "../webhooks/outbox.ts"
import { WebhookSignal } from "../webhooks/signal.ts"
import { ended, makeExpiry } from "./ledger-expiry.ts"
import { type HeardPart, type ItemPlace, makeItemWrites } from "./ledger-items.ts"
import { makeTakeovers, type SessionHolder } from "./ledger-takeovers.ts"
import { type ItemNotFound, SessionNotFound } from "./model.ts"
import type { ContinuedWork } from "./rounds.ts"
import {
  agentColumns,
  type EndedTurn,
  type EndingTurn,
  type FailedTurn,
  type NewTurn,
  TurnCancelled,
  type TurnEnd,
  TurnLost,
  TurnState,
} from "./stored-turn.ts"

/** How long a turn runs on without a renewal. Its process renews it every second, and gives up on a statement after 10 s. */
const lease = Duration.seconds(15)

const Position = Schema.Struct({ sequence: Schema.String })
const Turn = Schema.Struct({ id: TurnId })
const Running = Schema.Struct({ isRunning: Schema.Boolean })
const Renewed = Schema.Struct({ id: TurnId, isCancelled: Schema.Boolean, isLost: Schema.Boolean })
const Refused = Schema.Struct({ state: TurnState, isCancelled: Schema.Boolean })
const Closed = Schema.Struct({ continues: Schema.NullOr(TurnId), hasEvents: Schema.Boolean })
const Ended = Schema.Struct({ state: TurnState })

/** The key's name is from before migration 5, for version 0.1.0, which compares it too. */
const isSessionGone = (error: unknown): boolean =>
  error instanceof ConstraintViolated && error.constraint === "messages_session_id_fkey"

/** The record of every turn in every process of the service. Nothing else writes to the table `turns`. */
export class Ledger extends Context.Tag("voice-agent/Ledger")<
  Ledger,
  {
    /**
     * Adds a running turn at the end of its session's queue and returns its position there. None if the turn's
     * Idempotency-Key is in use. Fails if the session was deleted.
     */
    readonly open: (turn: NewTurn) => Effect.Effect<Option.Option<string>, SessionNotFound | DatabaseError>
    /** Moves a running aside to the end of its session's queue. None if it runs no more. */
    readonly enqueue: (
      id: TurnId,
      sessionId: SessionId,
    ) => Effect.Effect<Option.Option<string>, DatabaseError>
    /** The last running turn of the session before this position, apart from those in `besides`. */
    readonly ahead: (
      sessionId: SessionId,
      position: string,
      besides?: ReadonlyArray<TurnId>,
    ) => Effect.Effect<Option.Option<TurnId>, DatabaseError>
    /** Renews the leases of running turns; returns those that have to end, those that were deleted among them. */
    readonly renew: (ids: ReadonlyArray<TurnId>) => Effect.Effect<ReadonlyArray<EndingTurn>, DatabaseError>
    /**
     * Saves the items at the end of the conversation, the session if it is new, and the turn's end, in one transaction.
     * Fails if the session was deleted, if the turn is lost, and if a completed turn was cancelled before. May be
     * repeated: returns the end of an earlier try if that was saved.
     */
    readonly save: (
      turn: EndedTurn,
    ) => Effect.Effect<TurnEnd, SessionNotFound | TurnCancelled | TurnLost | DatabaseError>
    /** `save` for items that belong elsewhere in the conversation. */
    readonly saveAt: (
      place: ItemPlace,
      turn: EndedTurn,
    ) => Effect.Effect<TurnEnd, SessionNotFound | TurnCancelled | TurnLost | DatabaseError>
    /**
     * Ends a turn whose client heard nothing, and frees its Idempotency-Key. A turn without usage is deleted. What a turn
     * used that is deleted, or that another process took for dead, counts too. Returns how the turn ended, which is the end
     * of an earlier save if there was one.
     */
    readonly fail: (turn: FailedTurn) => Effect.Effect<TurnEnd, DatabaseError>
    /** Sets a saved assistant message to the part that the client heard. */
    readonly truncate: (
      userId: UserId,
      itemId: ItemId,
      heard: HeardPart,
    ) => Effect.Effect<void, ItemNotFound | DatabaseError>
    /** Removes an item of any type from its conversation. Its turn keeps what it has of it. */
    readonly removeItem: (
      userId: UserId,
      sessionId: SessionId,
      itemId: ItemId,
    ) => Effect.Effect<void, ItemNotFound | DatabaseError>
    /** Requests the end of a turn. After this a running turn cannot be saved as completed. */
    readonly requestCancel: (
      userId: UserId,
      id: TurnId,
    ) => Effect.Effect<"running" | "ended" | "unknown", DatabaseError>
    /** Gives a session to a new connection. Returns the place of this takeover in the session's queue. */
    readonly takeOver: (userId: UserId, sessionId: SessionId) => Effect.Effect<string, DatabaseError>
    /** For each connection: whether another one took its session over later, or the session was deleted. */
    readonly endedSessions: (
      holders: ReadonlyArray<SessionHolder>,
    ) => Effect.Effect<ReadonlyArray<"taken over" | "deleted" | undefined>, DatabaseError>
    readonly isRunning: (id: TurnId) => Effect.Effect<boolean, DatabaseError>
    /** Removes the Idempotency-Key, and what is stored for it, from a turn that is expired or dead. */
    readonly freeKey: (id: TurnId) => Effect.Effect<void, DatabaseError>
    /**
     * Opens a turn that continues another one with the same Idempotency-Key, which is dead or ended early: it gets the key and
     * the recorded rounds. Returns its position in its session's queue. None if another turn was faster.
     */
    readonly continueTurn: (
      from: TurnId,
      turn: NewTurn,
    ) => Effect.Effect<
      Option.Option<{ readonly position: string; readonly work: ContinuedWork }>,
      DatabaseError
    >
    /**
     * Saves what dead turns of the session have done with tools, as items at its end: the model must know of their calls.
     * Waits for no turn.
     */
    readonly recover: (sessionId: SessionId) => Effect.Effect<void, DatabaseError>
    /**
     * Marks turns as failed whose process is gone for a minute, or saves what they have done with tools. Returns their number.
     */
    readonly endDead: Effect.Effect<number, SqlError | DatabaseError>
    /**
     * `endDead`. Deletes failed turns that ended longer ago than `retention`. Removes
     * Idempotency-Keys after 24 h, with the speech stored for them. Returns the number of each. May take minutes on a
     * large database.
     */
    readonly expire: (
      retention: Option.Option<Duration.Duration>,
    ) => Effect.Effect<
      { readonly dead: number; readonly failed: number; readonly keys: number },
      SqlError | DatabaseError
    >
  }
>() {
  static readonly layer = Layer.effect(
    Ledger,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const pg = yield* PgClient.PgClient
      const { wakeIf } = yield* WebhookSignal
      const items = makeItemWrites(sql, pg)
      const nextLease = sql`now() + make_interval(secs => ${Duration.toSeconds(lease)})`

      // With the lock, positions become visible in their order: no turn is visible before those ahead of it. It is given back
      // with the COMMIT, of this statement alone or of the transaction around it.
      const insert = (turn: NewTurn) => {
        const { key, contentHash } = Option.getOrElse(turn.idempotency, () => ({
          key: null,
          contentHash: null,
        }))
        const { agentId, agentVersion } = agentColumns(turn.agent ?? turn.session.agent)
        return findFirst(
          Position,
          sql`insert into turns (id, user_id, session_id, idempotency_key, content_hash, lease_until, is_aside,
              is_speculative, agent_id, agent_version, key_id, has_reply)
            select ${turn.id}::uuid, ${turn.userId}::uuid, ${turn.session.id}::uuid, ${key}, ${contentHash}, ${nextLease},
              ${turn.isAside}::boolean, ${turn.isSpeculative ?? false}::boolean,
              ${agentId}::uuid, ${agentVersion}::int, ${turn.keyId ?? null}::uuid, ${turn.hasReply ?? true}::boolean
            from (select pg_advisory_xact_lock(hashtextextended(${turn.session.id}::text, 0))) as in_order
            where ${turn.session.isNew}::boolean or exists (select 1 from sessions where id = ${turn.session.id})
            on conflict do nothing
            returning sequence`,
        ).pipe(Effect.map(Option.map(({ sequence }) => sequence)))
      }
      const expiry = makeExpiry(sql, items, insert, wakeIf)

      const open = Effect.fn("Ledger.open")((turn: NewTurn) => {
        // Inserted by an earlier try that was carried out, but not acknowledged.
        const earlier = findFirst(Position, sql`select sequence from turns where id = ${turn.id}`).pipe(
          Effect.map(Option.map(({ sequence }) => sequence)),
        )
        const isDeleted = turn.session.isNew
          ? Effect.succeed(false)
          : Effect.map(
              query(sql`select 1 from sessions where id = ${turn.session.id}`),
              Arr.isEmptyReadonlyArray,
            )
        return query(insert(turn)).pipe(
          Effect.filterOrElse(Option.isSome, () => query(earlier)),
          Effect.tap((position) =>
            Option.isSome(position)
              ? Effect.void
              : Effect.flatMap(isDeleted, (isGone) => (isGone ? new SessionNotFound() : Effect.void)),
          ),
        )
      })

      const enqueue: Ledger["Type"]["enqueue"] = Effect.fn("Ledger.enqueue")((id, sessionId) =>
        query(
          findFirst(
            Position,
            sql`update turns set sequence = default, is_aside = false
              from (select pg_advisory_xact_lock(hashtextextended(${sessionId}::text, 0))) as in_order
              where id = ${id} and state = 'running' and lease_until > now()
              returning sequence`,
          ),
        ).pipe(Effect.map(Option.map(({ sequence }) => sequence))),
      )

      const ahead: Ledger["Type"]["ahead"] = Effect.fn("Ledger.ahead")(
        (sessionId, position, besides = []) => {
          const last = findFirst(
            Turn,
            sql`select id from turns
            where session_id = ${sessionId} and sequence < ${position} and state = 'running' and lease_until > now()
              and not is_aside ${besides.length === 0 ? sql`` : sql`and not ${sql.in("id", besides)}`}
            order by sequence desc limit 1`,
          )
          return Effect.map(
            query(last),
            Option.map(({ id }) => id),
          )
        },
      )

      const renew = Effect.fn("Ledger.renew")((ids: ReadonlyArray<TurnId>) =>
        // Skips a turn that is being saved, so that the others do not wait for it. A lost turn stays lost: the next turn
        // of its session may already run.
        query(
          findAll(
            Renewed,
            sql`with mine as (
                select id, cancel_requested, lease_until <= now() as is_lost from turns
                where ${sql.in("id", ids)} and state = 'running' order by id for update skip locked
              ), renewed as (
                update turns set lease_until = ${nextLease} from mine where turns.id = mine.id and not is_lost
              )
              select id, coalesce(cancel_requested, false) as is_cancelled, coalesce(is_lost, false) as is_lost
              from (select id from turns where ${sql.in("id", ids)}) as stored left join mine using (id)`,
          ),
        ).pipe(
          Effect.map((rows) => {
            const stored = new Set(rows.map(({ id }) => id))
            return [
              ...rows.flatMap(
                ({ id, isCancelled, isLost }): ReadonlyArray<EndingTurn> =>
                  isLost || isCancelled ? [{ id, reason: isLost ? "lost" : "cancelled" }] : [],
              ),
              ...ids.filter((id) => !stored.has(id)).map((id) => ({ id, reason: "deleted" as const })),
            ]
          }),
        ),
      )

      /** The end that an earlier try saved, if only the acknowledgement of its COMMIT was lost. Otherwise why none is saved. */
      const earlierEnd = Effect.fnUntraced(function* (id: TurnId) {
        const turn = yield* findFirst(
          Refused,
          sql`select state, coalesce(cancel_requested and lease_until > clock_timestamp(), false) as is_cancelled
            from turns where id = ${id}`,
        )
        if (Option.isNone(turn)) return yield* new SessionNotFound()
        const { state, isCancelled } = turn.value
        if (isCancelled) return yield* new TurnCancelled()
        return state === "running" || state === "failed" ? yield* new TurnLost() : state
      })

      const paid = ({ timings, usage, bill }: Pick<EndedTurn, "timings" | "usage" | "bill">) => ({
        timings: pg.json(timings),
        usage: pg.json(usage),
        // The driver would write a list as an array of PostgreSQL.
        models: bill === undefined ? null : JSON.stringify(bill.models),
        costNanos: bill === undefined ? null : wholeNanos(bill),
        currency: bill?.currency ?? null,
      })

      const saveWith = <E>(turn: EndedTurn, addItems: Effect.Effect<void, E | SqlError>) => {
        const { id, userId, session, state, transcript, response } = turn
        // Also for a text without an item, of an aside: it ends with its session.
        const isSessionAdded = session.isNew && (turn.items.length > 0 || transcript + response !== "")
        const isCompleted = state === "completed"
        const speech = Option.getOrNull(turn.speech)
        const sessionAdded = sql`insert into sessions ${sql.insert({ id: session.id, userId, ...agentColumns(session.agent) })} on conflict (id) do nothing`
        // A turn that was taken for dead may have lost its key; then no retry can ask for its speech.
        const closed = sql`update turns set ${sql.update({
          ...ended,
          state,
          transcript,
          response,
          speechFormat: turn.speechFormat,
          ...paid(turn),
        })}, speech = case when idempotency_key is not null then ${speech}::bytea end,
          ${speech === null ? sql`${expiry.keyFreedWithoutRounds},` : sql``} ended_at = now()
          where id = ${id} and state = 'running' and lease_until > clock_timestamp()
            and ${isCompleted ? sql`not cancel_requested` : sql`true`}
          returning ${endedColumns(sql)}`
        // Locks the user's row, the session's, then the turn's: the order in which a deletion locks them, which rules out
        // a deadlock. The lock of an existing session is enough: its user cannot be deleted before it.
        const userLocked = sql`select 1 from users where id = ${userId} for key share`
        const sessionLocked = sql`select 1 from sessions where id = ${session.id} for key share`
        const all = Effect.gen(function* () {
          if (isSessionAdded) yield* userLocked
          if ((yield* sessionLocked).length === 0 && !session.isNew) return yield* new SessionNotFound()
          const saved = yield* findFirst(
            Closed,
            withTurnEvents(sql, closed, turn.isFailure === true ? "failed" : "completed", {
              code: turn.code,
            }),
          )
          if (Option.isNone(saved)) return { end: yield* earlierEnd(id), hasEvents: false }
          if (isSessionAdded) yield* sessionAdded
          if (saved.value.continues !== null) yield* items.removeOf(saved.value.continues)
          if (turn.items.length > 0) yield* addItems
          yield* expiry.dropRounds(id)
          return { end: state, hasEvents: saved.value.hasEvents }
        })
        return transaction(sql, all, { isRepeatable: true }).pipe(
          Effect.tap(({ hasEvents }) => wakeIf(hasEvents)),
          Effect.map(({ end }) => end),
          Effect.catchIf(isSessionGone, () => new SessionNotFound()),
        )
      }

      const save = Effect.fn("Ledger.save")((turn: EndedTurn) =>
        saveWith(turn, items.append(turn.session.id, turn.id, turn.items)),
      )
      const saveAt = Effect.fn("Ledger.saveAt")((place: ItemPlace, turn: EndedTurn) =>
        saveWith(turn, items.add(turn.session.id, turn.id, turn.items, place)),
      )

      /** Counts what a turn used that its row does not have: another process took it for dead, or the row is gone. */
      const countLate = ({ payer, ...turn }: FailedTurn, hasRow: boolean) => {
        if (hasRow) {
          return query(sql`update turns set ${sql.update(paid(turn))}
            where id = ${turn.id} and state <> 'running' and usage is null`)
        }
        return payer === undefined ? Effect.void : transactionOnce(sql, addUsageOf(sql, pg, payer, turn))
      }

      const fail: Ledger["Type"]["fail"] = Effect.fn("Ledger.fail")(function* (turn) {
        const { id } = turn
        const hasCost = isUsed(turn.usage)
        const failed = { ...ended, state: "failed", ...paid(turn) }
        const closed = findFirst(
          Closed,
          withTurnEvents(
            sql,
            hasCost
              ? sql`update turns set ${sql.update(failed)}, ${expiry.keyFreedWithoutRounds}, ended_at = now()
                  where id = ${id} and state = 'running' returning ${endedColumns(sql)}`
              : sql`delete from turns where id = ${id} and state = 'running' returning ${endedColumns(sql)}`,
            "failed",
            { code: turn.code, isTold: sql`${turn.isRefused !== true}::boolean` },
          ),
        )
        const saved = yield* query(closed)
        if (Option.isSome(saved)) {
          yield* wakeIf(saved.value.hasEvents)
          yield* query(expiry.dropRounds(id))
          return "failed"
        }
        // A statement of its own: the one above may have waited for the COMMIT of a save, which it cannot see.
        const found = yield* query(findFirst(Ended, sql`select state from turns where id = ${id}`))
        if (hasCost) yield* countLate(turn, Option.isSome(found))
        const state = Option.isSome(found) ? found.value.state : "failed"
        return state === "running" ? "failed" : state
      })

      const requestCancel = Effect.fn("Ledger.requestCancel")(function* (userId: UserId, id: TurnId) {
        const turn = yield* query(
          findFirst(
            Running,
            sql`update turns set cancel_requested = state = 'running'
              where id = ${id} and user_id = ${userId} returning state = 'running' as is_running`,
          ),
        )
        if (Option.isNone(turn)) return "unknown"
        return turn.value.isRunning ? "running" : "ended"
      })

      const isRunning = Effect.fn("Ledger.isRunning")((id: TurnId) => {
        const found = sql`select 1 from turns where id = ${id} and state = 'running' and lease_until > now()`
        return Effect.map(query(found), ({ length }) => length > 0)
      })

      return {
        open,
        enqueue,
        ahead,
        renew,
        save,
        saveAt,
        fail,
        truncate: items.truncate,
        removeItem: items.removeItem,
        requestCancel,
        isRunning,
        freeKey: expiry.freeKey,
        continueTurn: expiry.continueTurn,
        recover: expiry.recover,
        endDead: expiry.endDead,
        expire: expiry.expire,
        ...makeTakeovers(sql, pg),
      }
    }),
    // The one that the sender waits for: a layer is built once, however often it is provided.
  ).pipe(Layer.provide(WebhookSignal.layer))
}
