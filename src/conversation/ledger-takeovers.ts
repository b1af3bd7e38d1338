import type * as SqlClient from "@effect/sql/SqlClient"
import type * as PgClient from "@effect/sql-pg/PgClient"
import { Effect, Schema } from "effect"
import { query } from "../db/postgres.ts"
import { findAll, findOne } from "../db/rows.ts"
import { newId, noUsage, type SessionId, TurnId, type UserId } from "../schema.ts"

/** A connection that holds a session. */
export interface SessionHolder {
  readonly userId: UserId
  readonly sessionId: SessionId
  /** Of its takeover; `0` for the first connection of a new session. */
  readonly position: string
  /** The session has a row by now. */
  readonly isStored: boolean
}

const Position = Schema.Struct({ sequence: Schema.String })
const Ended = Schema.Struct({ at: Schema.Int, isTakenOver: Schema.Boolean })

/** No client's Idempotency-Key has a space. */
const keyPrefix = "realtime "

/** For `like`: the keys of takeovers. */
export const takeoverKeys = `${keyPrefix}%`

/**
 * Takeovers of sessions. One is a turn without content, completed at once: its place in the session's queue tells which of
 * two connections is the later one. A session has one such row, under a key of its own.
 */
export const makeTakeovers = (sql: SqlClient.SqlClient, pg: PgClient.PgClient) => {
  const takeOver = Effect.fn("Ledger.takeOver")((userId: UserId, sessionId: SessionId) =>
    query(
      findOne(
        Position,
        // The lock of `open`.
        sql`insert into turns (id, user_id, session_id, state, is_aside, idempotency_key, transcript, response, speech_format,
            timings, usage, ended_at)
          select ${newId(TurnId)}::uuid, ${userId}::uuid, ${sessionId}::uuid, 'completed', true, ${keyPrefix + sessionId},
            '', '', 'none', '{}', ${pg.json(noUsage)}, now()
          from (select pg_advisory_xact_lock(hashtextextended(${sessionId}::text, 0))) as in_order
          on conflict (user_id, idempotency_key)
            do update set sequence = default, created_at = excluded.created_at, ended_at = excluded.ended_at
          returning sequence`,
      ),
    ).pipe(Effect.map(({ sequence }) => sequence)),
  )

  const endedSessions = Effect.fn("Ledger.endedSessions")(function* (holders: ReadonlyArray<SessionHolder>) {
    const given = holders.map(({ userId, sessionId, position, isStored }, at) => ({
      at,
      user_id: userId,
      session_id: sessionId,
      key: keyPrefix + sessionId,
      position,
      is_stored: isStored,
    }))
    const rows = yield* query(
      findAll(
        Ended,
        sql`select at, later.id is not null as is_taken_over
          from jsonb_to_recordset(${JSON.stringify(given)}::jsonb) as holder
            (at integer, user_id uuid, session_id uuid, key text, position bigint, is_stored boolean)
          left join turns as later on later.user_id = holder.user_id and later.idempotency_key = holder.key
            and later.sequence > holder.position
          where later.id is not null
            or (is_stored and not exists (select 1 from sessions where sessions.id = holder.session_id))`,
      ),
    )
    const isTaken = new Map(rows.map(({ at, isTakenOver }) => [at, isTakenOver]))
    return holders.map((_, at) => {
      const taken = isTaken.get(at)
      return taken === undefined ? undefined : taken ? "taken over" : "deleted"
    })
  })

  return { takeOver, endedSessions }
}
