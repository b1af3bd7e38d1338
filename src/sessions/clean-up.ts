import * as SqlClient from "@effect/sql/SqlClient"
import { Duration, Effect, Layer, Schedule } from "effect"
import { Settings } from "../config.ts"

/**
 * Deletes sessions without a message that are idle for 24 h and, with SESSION_RETENTION_DAYS above 0, all that are
 * idle for longer than that. Answers how many. Safe twice, and on several processes at once.
 */
export const cleanUpSessions = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const { sessionRetentionDays } = yield* Settings
  const empty = sql`delete from sessions s where last_activity_at < now() - interval '24 hours'
    and not exists (select 1 from messages m where m.session_id = s.id) returning 1`
  const old = sql`delete from sessions
    where last_activity_at < now() - make_interval(secs => ${sessionRetentionDays * 86_400}) returning 1`
  const emptied = yield* empty
  const aged = sessionRetentionDays > 0 ? yield* old : []
  return { empty: emptied.length, old: aged.length }
}).pipe(Effect.withSpan("Sessions.cleanUp"))

/** A large retention sweep takes minutes; a database that hangs takes for ever. */
const roundTimeout = Duration.minutes(10)

/** Cleans up at start and every hour, for as long as the service runs; a failed round is logged, the next one comes. */
export const layer = Layer.scopedDiscard(
  cleanUpSessions.pipe(
    Effect.disconnect,
    Effect.timeout(roundTimeout),
    Effect.tap((deleted) => Effect.logInfo("sessions cleaned up").pipe(Effect.annotateLogs(deleted))),
    Effect.catchAllCause((cause) => Effect.logWarning("sessions not cleaned up", cause)),
    Effect.repeat(Schedule.spaced("1 hour")),
    Effect.forkScoped,
  ),
)
