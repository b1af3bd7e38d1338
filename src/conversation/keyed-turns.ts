import * as SqlClient from "@effect/sql/SqlClient"
import { Context, Duration, Effect, Layer, type Option } from "effect"
import type { DatabaseError } from "../db/errors.ts"
import { query } from "../db/postgres.ts"
import { findFirst } from "../db/rows.ts"
import type { TurnId, UserId } from "../schema.ts"
import { KeyedTurn, StoredTurn } from "./stored-turn.ts"

/** How long a retry with the same Idempotency-Key finds its turn. */
const keyLifetime = Duration.hours(24)

/** Turns created before this have expired keys. */
export const keyExpiry = (sql: SqlClient.SqlClient) =>
  sql`now() - make_interval(secs => ${Duration.toSeconds(keyLifetime)})`

/** The turns that a retry with the same Idempotency-Key may get. */
export class KeyedTurns extends Context.Tag("voice-agent/KeyedTurns")<
  KeyedTurns,
  {
    readonly find: (userId: UserId, key: string) => Effect.Effect<Option.Option<KeyedTurn>, DatabaseError>
    /** A completed turn, if its speech is still stored. */
    readonly stored: (id: TurnId) => Effect.Effect<Option.Option<StoredTurn>, DatabaseError>
  }
>() {
  static readonly layer = Layer.effect(
    KeyedTurns,
    Effect.map(SqlClient.SqlClient, (sql) => {
      const find = Effect.fn("KeyedTurns.find")((userId: UserId, key: string) =>
        query(
          findFirst(
            KeyedTurn,
            sql`select id, content_hash, state, state = 'running' and lease_until <= now() as is_dead,
                created_at < ${keyExpiry(sql)} as is_expired,
                state <> 'completed' and exists (select 1 from turn_rounds where turn_id = turns.id) as has_rounds
              from turns where user_id = ${userId} and idempotency_key = ${key}`,
          ),
        ),
      )

      const stored = Effect.fn("KeyedTurns.stored")((id: TurnId) =>
        query(
          findFirst(
            StoredTurn,
            sql`select id, session_id, transcript, response, speech, speech_format, timings, usage,
                cost_nanos::float8 as cost_nanos, currency, coalesce((
                select jsonb_agg(jsonb_build_object('itemId', id, 'callId', payload ->> 'callId', 'name', payload ->> 'name',
                  'arguments', payload ->> 'arguments', 'sequence', sequence))
                from items where session_id = turns.session_id and turn_id = turns.id and type = 'tool_call'
                  and payload ->> 'runBy' is null
              ), '[]') as calls
              from turns where id = ${id} and state = 'completed' and speech is not null`,
          ),
        ),
      )

      return { find, stored }
    }),
  )
}
