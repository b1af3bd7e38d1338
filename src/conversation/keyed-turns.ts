import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import { Context, Duration, Effect, Layer, type Option } from "effect"
import type { DatabaseError } from "../db/errors.ts"
import { query } from "../db/postgres.ts"
import { findFirst } from "../db/rows.ts"
import type { TurnId, UserId } from "../schema.ts"
import { KeyedTurn, StoredTurn } from "./stored-turn.ts"

/** How long a retry with the same Idempotency-Key finds its turn. */
const keyLifetime = Duration.hours(24)

/** The turns that a retry with the same Idempotency-Key may get. */
export class KeyedTurns extends Context.Tag("voice-agent/KeyedTurns")<
  KeyedTurns,
  {
    readonly find: (userId: UserId, key: string) => Effect.Effect<Option.Option<KeyedTurn>, DatabaseError>
    /** A completed turn, if its speech is still stored. */
    readonly stored: (id: TurnId) => Effect.Effect<Option.Option<StoredTurn>, DatabaseError>
    /** Removes the key, and the speech stored for it, from a turn that is expired or dead. */
    readonly free: (id: TurnId) => Effect.Effect<void, DatabaseError>
    /** Removes keys after 24 h, with the speech stored for them. Returns their number. */
    readonly expire: Effect.Effect<number, SqlError>
  }
>() {
  static readonly layer = Layer.effect(
    KeyedTurns,
    Effect.map(SqlClient.SqlClient, (sql) => {
      const expiry = sql`now() - make_interval(secs => ${Duration.toSeconds(keyLifetime)})`
      const freed = { idempotencyKey: null, contentHash: null, speech: null, speechFormat: null }

      const find = Effect.fn("KeyedTurns.find")((userId: UserId, key: string) =>
        query(
          findFirst(
            KeyedTurn,
            sql`select id, content_hash, state, state = 'running' and lease_until <= now() as is_dead,
                created_at < ${expiry} as is_expired
              from turns where user_id = ${userId} and idempotency_key = ${key}`,
          ),
        ),
      )

      const stored = Effect.fn("KeyedTurns.stored")((id: TurnId) =>
        query(
          findFirst(
            StoredTurn,
            sql`select id, session_id, transcript, response, speech, speech_format, timings, usage
              from turns where id = ${id} and state = 'completed' and speech is not null`,
          ),
        ),
      )

      const free = Effect.fn("KeyedTurns.free")((id: TurnId) =>
        Effect.asVoid(
          query(sql`update turns set ${sql.update(freed)}
            where id = ${id} and (state <> 'running' or lease_until <= now())`),
        ),
      )

      const expire = Effect.map(
        sql`update turns set ${sql.update(freed)}
          where idempotency_key is not null and created_at < ${expiry} returning 1`,
        ({ length }) => length,
      ).pipe(Effect.withSpan("KeyedTurns.expire"))

      return { find, stored, free, expire }
    }),
  )
}
