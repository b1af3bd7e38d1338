import * as SqlClient from "@effect/sql/SqlClient"
import { Duration, Effect, Layer, Option, Schedule } from "effect"
import { Settings } from "../config.ts"
import { deliveryRetention } from "../webhooks/delivery-log.ts"
import { Ledger } from "./ledger.ts"

/**
 * Deletes sessions without an item after 24 h without activity and, if SESSION_RETENTION_DAYS is above 0, every session
 * after so many days without activity, with its turns. Deletes full rate-limit allowances, expired client secrets, expired
 * secrets of webhooks, and deliveries to webhooks that ended 7 days ago. Ends the turns of processes that are gone and frees
 * Idempotency-Keys. Returns the number of each. May run in several processes at once.
 */
export const cleanUp = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const ledger = yield* Ledger
  const { sessionRetentionDays } = yield* Settings
  const retention =
    sessionRetentionDays === 0 ? Option.none() : Option.some(Duration.days(sessionRetentionDays))
  const empty = yield* sql`delete from sessions s where last_activity_at < now() - interval '24 hours'
    and not exists (select 1 from items i where i.session_id = s.id) returning 1`
  const turns = yield* ledger.expire(retention)
  const limits = yield* sql`delete from rate_limits where whole_at < now() returning 1`
  const secrets = yield* sql`delete from client_secrets where expires_at < now() returning 1`
  const webhookSecrets = yield* sql`delete from webhook_old_secrets where expires_at < now() returning 1`
  const deliveries = yield* sql`delete from webhook_deliveries where state <> 'pending'
    and ended_at < now() - make_interval(secs => ${Duration.toSeconds(deliveryRetention)}) returning 1`
  const old = Option.isNone(retention)
    ? []
    : yield* sql`delete from sessions
        where last_activity_at < now() - make_interval(secs => ${Duration.toSeconds(retention.value)}) returning 1`
  return {
    empty: empty.length,
    limits: limits.length,
    secrets: secrets.length,
    webhookSecrets: webhookSecrets.length,
    deliveries: deliveries.length,
    old: old.length,
    ...turns,
  }
}).pipe(Effect.withSpan("CleanUp"))

/** A large retention sweep takes minutes. A database that hangs never ends it. */
const roundTimeout = Duration.minutes(10)

/** Cleans up at start and every hour. A failed round is logged; the next one follows an hour later. */
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
