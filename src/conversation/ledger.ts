import * as SqlClient from "@effect/sql/SqlClient"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Array as Arr, Context, Duration, Effect, Layer, Option, Schema } from "effect"
import type { DatabaseError } from "../db/errors.ts"
import { query, transaction } from "../db/postgres.ts"
import type { Timings, Usage } from "../schema.ts"
import { SessionNotFound } from "./model.ts"
import { type HeardTurn, type NewTurn, StoredTurn, TurnCancelled, TurnLost } from "./stored-turn.ts"

/** How long a turn counts as running without another word from its process. Renewed every second; a pause of 10 s is a database that hangs. */
const lease = Duration.seconds(15)

/** How long a retry with the same Idempotency-Key finds its turn. */
const keyLifetime = Duration.hours(24)

const KeyedTurn = Schema.Struct({
  id: Schema.UUID,
  contentHash: Schema.String,
  state: Schema.Literal("running", "completed", "interrupted", "cancelled", "failed"),
  /** Running, by a process that is gone. */
  isDead: Schema.Boolean,
  isExpired: Schema.Boolean,
})

/** A turn that was asked for with an Idempotency-Key. */
export type KeyedTurn = typeof KeyedTurn.Type

const Doomed = Schema.Struct({
  id: Schema.UUID,
  /** Nothing was heard of it for a whole lease: the turns behind it do not wait for it any more. */
  isLost: Schema.Boolean,
})

/** A running turn that has to end. Where it is not lost, its user asked for that. */
export type Doomed = typeof Doomed.Type

const rowsOf = <A, I>(schema: Schema.Schema<A, I>, rows: unknown) =>
  Effect.orDie(Schema.decodeUnknown(Schema.Array(Schema.typeSchema(schema)))(rows))

const firstOf = <A, I>(schema: Schema.Schema<A, I>, rows: unknown) =>
  Effect.map(rowsOf(schema, rows), (found) => Arr.head(found))

/** The turns that run or ran, in any process of the service. */
export class TurnRecords extends Context.Tag("TurnRecords")<
  TurnRecords,
  {
    /** Gives a turn its place, after all of its session that came before. None where its Idempotency-Key is in use. */
    readonly open: (turn: NewTurn) => Effect.Effect<Option.Option<string>, DatabaseError>
    /** The turn that is nearest ahead of this place in the session, and still running. */
    readonly ahead: (sessionId: string, place: string) => Effect.Effect<Option.Option<string>, DatabaseError>
    /** Keeps turns alive; answers those of them that have to end. */
    readonly renew: (ids: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<Doomed>, DatabaseError>
    /**
     * Both messages, the session where it is new, and the turn's end, or nothing. Fails where the session was deleted, where
     * the turn is lost, and where one that is to be saved as completed was cancelled before. May be repeated.
     */
    readonly save: (
      turn: HeardTurn,
    ) => Effect.Effect<void, SessionNotFound | TurnCancelled | TurnLost | DatabaseError>
    /** The end of a turn of which nothing was heard. Its key is free again; it is forgotten where it cost nothing. */
    readonly fail: (turn: {
      readonly id: string
      readonly timings: Partial<Timings>
      readonly usage: Usage
    }) => Effect.Effect<void, DatabaseError>
    readonly keyed: (userId: string, key: string) => Effect.Effect<Option.Option<KeyedTurn>, DatabaseError>
    /** Takes the key from a turn that is expired or dead, and the speech that was kept for it. */
    readonly freeKey: (id: string) => Effect.Effect<void, DatabaseError>
    /** What a completed turn is answered with once more. */
    readonly stored: (id: string) => Effect.Effect<Option.Option<StoredTurn>, DatabaseError>
    /** Asks for a turn's end; it is not saved as completed after this, unless it has ended already. */
    readonly requestCancel: (
      userId: string,
      id: string,
    ) => Effect.Effect<"running" | "ended" | "unknown", DatabaseError>
    readonly isRunning: (id: string) => Effect.Effect<boolean, DatabaseError>
  }
>() {
  static readonly layer = Layer.effect(
    TurnRecords,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const pg = yield* PgClient.PgClient
      const nextLease = sql`now() + make_interval(secs => ${Duration.toSeconds(lease)})`
      const ended = { leaseUntil: null, cancelRequested: false }

      const open = Effect.fn("TurnRecords.open")(function* (turn: NewTurn) {
        const { key, contentHash } = Option.getOrElse(turn.idempotency, () => ({
          key: null,
          contentHash: null,
        }))
        // The lock makes the order of places that in which they become visible: none is seen before those ahead of it.
        const inserted = sql<{ readonly sequence: string }>`
          insert into turns (id, user_id, session_id, idempotency_key, content_hash, lease_until)
          select ${turn.id}::uuid, ${turn.userId}::uuid, ${turn.session.id}::uuid, ${key}, ${contentHash}, ${nextLease}
          from (select pg_advisory_xact_lock(hashtextextended(${turn.session.id}::text, 0))) as in_order
          on conflict do nothing
          returning sequence`
        // By a COMMIT whose answer was lost.
        const earlier = sql<{ readonly sequence: string }>`select sequence from turns where id = ${turn.id}`
        const placed = Effect.filterOrElse(inserted, Arr.isNonEmptyReadonlyArray, () => earlier)
        const rows = yield* transaction(sql, placed, { isRepeatable: true })
        return Option.map(Arr.head(rows), ({ sequence }) => sequence)
      })

      const ahead = Effect.fn("TurnRecords.ahead")(function* (sessionId: string, place: string) {
        const rows = yield* query(sql<{ readonly id: string }>`select id from turns
          where session_id = ${sessionId} and sequence < ${place} and state = 'running' and lease_until > now()
          order by sequence desc limit 1`)
        return Option.map(Arr.head(rows), ({ id }) => id)
      })

      const renew = Effect.fn("TurnRecords.renew")(function* (ids: ReadonlyArray<string>) {
        // One that is being saved is not waited for, lest the others go without. One that is lost stays so: another may run
        // in its place already.
        const rows = yield* query(sql`with mine as (
            select id, cancel_requested, lease_until <= now() as is_lost from turns
            where ${sql.in("id", ids)} and state = 'running' order by id for update skip locked
          ), renewed as (
            update turns set lease_until = ${nextLease} from mine where turns.id = mine.id and not is_lost
          )
          select id, is_lost from mine where cancel_requested or is_lost`)
        return yield* rowsOf(Doomed, rows)
      })

      /** Why a turn could not be saved; nothing where it was before, by a COMMIT whose answer was lost. */
      const whyNotClosed = Effect.fnUntraced(function* (id: string) {
        const [turn] = yield* sql<{ readonly state: KeyedTurn["state"]; readonly isCancelled: boolean }>`
          select state, cancel_requested and lease_until > clock_timestamp() as is_cancelled
          from turns where id = ${id}`
        if (turn === undefined) return yield* new SessionNotFound()
        if (turn.isCancelled) return yield* new TurnCancelled()
        if (turn.state === "running" || turn.state === "failed") return yield* new TurnLost()
      })

      const save = Effect.fn("TurnRecords.save")((turn: HeardTurn) => {
        const { id, userId, session, state, transcript, response, heard } = turn
        const isWhole = state === "completed"
        const message = { sessionId: session.id, turnId: id }
        const opened = sql`insert into sessions ${sql.insert({ id: session.id, userId })} on conflict (id) do nothing`
        const said = sql`insert into messages ${sql.insert([
          { ...message, role: "user", content: transcript, interrupted: false },
          { ...message, role: "assistant", content: heard, interrupted: !isWhole },
        ])}`
        const freed = { idempotencyKey: null, contentHash: null }
        const speech = Option.getOrNull(turn.speech)
        // One that was taken for dead has lost its key meanwhile, and nobody can ask for its speech any more.
        const closed = sql`update turns set ${sql.update({
          ...ended,
          ...(speech === null ? freed : {}),
          state,
          transcript,
          response,
          speechFormat: turn.speechFormat,
          timings: pg.json(turn.timings),
          usage: pg.json(turn.usage),
        })}, speech = case when idempotency_key is not null then ${speech}::bytea end, ended_at = now()
          where id = ${id} and state = 'running' and lease_until > clock_timestamp()
            and ${isWhole ? sql`not cancel_requested` : sql`true`}
          returning 1`
        // The user's row, the session's and then the turn's, as their deletion takes them: else each could wait for the
        // other. A session that is there is held by itself: its user does not go before it.
        const heldUser = sql`select 1 from users where id = ${userId} for key share`
        const held = sql`select 1 from sessions where id = ${session.id} for key share`
        const all = Effect.gen(function* () {
          if (session.isNew) yield* heldUser
          yield* held
          if ((yield* closed).length === 0) return yield* whyNotClosed(id)
          if (session.isNew) yield* opened
          yield* said
        })
        return transaction(sql, all, { isRepeatable: true }).pipe(
          Effect.mapError((error) =>
            error._tag === "ConstraintViolated" && error.constraint === "messages_session_id_fkey"
              ? new SessionNotFound()
              : error,
          ),
        )
      })

      const fail: TurnRecords["Type"]["fail"] = Effect.fn("TurnRecords.fail")(function* ({
        id,
        timings,
        usage,
      }) {
        const failed = {
          ...ended,
          state: "failed",
          idempotencyKey: null,
          contentHash: null,
          timings: pg.json(timings),
          usage: pg.json(usage),
        }
        const cost = Object.values(usage).some((amount) => amount > 0)
        yield* query(
          cost
            ? sql`update turns set ${sql.update(failed)}, ended_at = now() where id = ${id} and state = 'running'`
            : sql`delete from turns where id = ${id} and state = 'running'`,
        )
      })

      const keyed = Effect.fn("TurnRecords.keyed")(function* (userId: string, key: string) {
        const rows = yield* query(sql`select id, content_hash, state,
            state = 'running' and lease_until <= now() as is_dead,
            created_at < now() - make_interval(secs => ${Duration.toSeconds(keyLifetime)}) as is_expired
          from turns where user_id = ${userId} and idempotency_key = ${key}`)
        return yield* firstOf(KeyedTurn, rows)
      })

      const freeKey = Effect.fn("TurnRecords.freeKey")((id: string) =>
        Effect.asVoid(
          query(sql`update turns
            set idempotency_key = null, content_hash = null, speech = null, speech_format = null
            where id = ${id} and (state <> 'running' or lease_until <= now())`),
        ),
      )

      const stored = Effect.fn("TurnRecords.stored")(function* (id: string) {
        const rows =
          yield* query(sql`select id, session_id, transcript, response, speech, speech_format, timings, usage
          from turns where id = ${id} and state = 'completed' and speech is not null`)
        return yield* firstOf(StoredTurn, rows)
      })

      const requestCancel = Effect.fn("TurnRecords.requestCancel")(function* (userId: string, id: string) {
        const [turn] = yield* query(sql<{ readonly isRunning: boolean }>`
          update turns set cancel_requested = state = 'running'
          where id = ${id} and user_id = ${userId} returning state = 'running' as is_running`)
        if (turn === undefined) return "unknown"
        return turn.isRunning ? "running" : "ended"
      })

      const isRunning = Effect.fn("TurnRecords.isRunning")(function* (id: string) {
        const rows = yield* query(
          sql`select 1 from turns where id = ${id} and state = 'running' and lease_until > now()`,
        )
        return rows.length > 0
      })

      return { open, ahead, renew, save, fail, keyed, freeKey, stored, requestCancel, isRunning }
    }),
  )
}
