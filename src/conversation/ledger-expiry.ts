import type * as SqlClient from "@effect/sql/SqlClient"
import { Duration, Effect, Option } from "effect"
import { query } from "../db/postgres.ts"
import type { TurnId } from "../schema.ts"
import { keyExpiry } from "./keyed-turns.ts"
import { takeoverKeys } from "./ledger-takeovers.ts"

/** How long after its lease a turn is marked as failed by the clean-up. */
const deadAfter = Duration.minutes(1)

/** What every end of a turn writes. */
export const ended = { leaseUntil: null, cancelRequested: false }
/** What frees an Idempotency-Key of a turn that has no speech. */
export const keyFreed = { idempotencyKey: null, contentHash: null }
const replayFreed = { ...keyFreed, speech: null, speechFormat: null }

/** The ledger's writes to turns that no process runs: the clean-up, and keys that a new turn takes over. */
export const makeExpiry = (sql: SqlClient.SqlClient) => {
  const freeKey = Effect.fn("Ledger.freeKey")((id: TurnId) =>
    Effect.asVoid(
      query(sql`update turns set ${sql.update(replayFreed)}
        where id = ${id} and (state <> 'running' or lease_until <= now())`),
    ),
  )

  const expire = Effect.fn("Ledger.expire")(function* (retention: Option.Option<Duration.Duration>) {
    const secondsOf = Duration.toSeconds
    const dead =
      yield* sql`update turns set ${sql.update({ ...ended, ...keyFreed, state: "failed" })}, ended_at = now()
        where state = 'running' and lease_until < now() - make_interval(secs => ${secondsOf(deadAfter)}) returning 1`
    const failed = Option.isNone(retention)
      ? []
      : yield* sql`delete from turns where state = 'failed'
          and ended_at < now() - make_interval(secs => ${secondsOf(retention.value)}) returning 1`
    // No Realtime connection lasts as long.
    yield* sql`delete from turns where idempotency_key like ${takeoverKeys} and created_at < ${keyExpiry(sql)}`
    const keys = yield* sql`update turns set ${sql.update(replayFreed)}
      where idempotency_key is not null and created_at < ${keyExpiry(sql)} returning 1`
    return { dead: dead.length, failed: failed.length, keys: keys.length }
  })

  return { freeKey, expire }
}
