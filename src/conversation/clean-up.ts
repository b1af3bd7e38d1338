import * as SqlClient from "@effect/sql/SqlClient"
import { Duration, Effect, Layer, Schedule } from "effect"
import { Settings } from "../config.ts"

/**
 * Deletes sessions without a message that are idle for 24 h and, with SESSION_RETENTION_DAYS above 0, all that are
 * idle for longer than that; their turns go with them. Forgets Idempotency-Keys, and the speech kept for them, after 24 h,
 * and allowances that are whole again; ends turns whose process is gone. Answers how many. Safe twice, and on several processes at once.
 */
export const cleanUp = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const { sessionRetentionDays } = yield* Settings
  const retention = sql`make_interval(secs => ${sessionRetentionDays * 86_400})`
  const empty = yield* sql`delete from sessions s where last_activity_at < now() - interval '24 hours'
    and not exists (select 1 from messages m where m.session_id = s.id) returning 1`
  const dead = yield* sql`update turns
    set state = 'failed', lease_until = null, idempotency_key = null, content_hash = null, ended_at = now()
    where state = 'running' and lease_until < now() - interval '1 minute' returning 1`
  const keys = yield* sql`update turns
    set idempotency_key = null, content_hash = null, speech = null, speech_format = null
    where idempotency_key is not null and created_at < now() - interval '24 hours' returning 1`
  const whole = yield* sql`delete from rate_limits where whole_at < now() returning 1`
  const counts = { empty: empty.length, dead: dead.length, keys: keys.length, limits: whole.length }
  if (sessionRetentionDays === 0) return { ...counts, old: 0 }
  const old = yield* sql`delete from sessions where last_activity_at < now() - ${retention} returning 1`
  yield* sql`delete from turns where state = 'failed' and ended_at < now() - ${retention}`
  return { ...counts, old: old.length }
}).pipe(Effect.withSpan("CleanUp"))

/** A large retention sweep takes minutes; a database that hangs takes for ever. */
const roundTimeout = Duration.minutes(10)

/** Cleans up at start and every hour, for as long as the service runs; a failed round is logged, the next one comes. */
export const layer = Layer.scopedDiscard(
  cleanUp.pipe(
    Effect.disconnect,
    Effect.timeout(roundTimeout),
    Effect.tap((deleted) => Effect.logInfo("cleanup.completed").pipe(Effect.annotateLogs(deleted))),
    Effect.catchAllCause((cause) => Effect.logWarning("cleanup.failed", cause)),
    Effect.repeat(Schedule.spaced("1 hour")),
    Effect.forkScoped,
  ),
)
