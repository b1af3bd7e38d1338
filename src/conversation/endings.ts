import * as SqlClient from "@effect/sql/SqlClient"
import { Duration, Effect, Layer, Schedule, Schema } from "effect"
import { Settings } from "../config.ts"
import { query } from "../db/postgres.ts"
import { findOne } from "../db/rows.ts"
import { isoTime } from "../db/shown.ts"
import { agentFields, recordEvents } from "../webhooks/outbox.ts"
import { WebhookSignal } from "../webhooks/signal.ts"
import { Ledger } from "./ledger.ts"

/** Webhooks learn of such an end so much later at most, and a minute after the lease of a turn. */
const interval = Duration.seconds(30)

const Recorded = Schema.Struct({ hasEvents: Schema.Boolean })

/**
 * Records events for the sessions that expired since the last time, in any process. A session whose turn ends after that is
 * active again, and may expire once more.
 */
const recordExpiredSessions = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const { wakeIf } = yield* WebhookSignal
  const { sessionTimeout } = yield* Settings
  const timeout = sql`make_interval(secs => ${Duration.toSeconds(sessionTimeout)})`
  const told = recordEvents(sql, "session.expired", {
    from: sql`sessions`,
    userId: sql`sessions.user_id`,
    webhooks: sql`due`,
    where: sql`last_activity_at >= sessions_checked_at - ${timeout} and last_activity_at < now() - ${timeout}`,
    occurredAt: sql`last_activity_at + ${timeout}`,
    data: {
      sessionId: sql`sessions.id`,
      ...agentFields(sql),
      lastActivityAt: isoTime(sql, sql`last_activity_at`),
      expiredAt: isoTime(sql, sql`last_activity_at + ${timeout}`),
    },
  })
  const recorded = findOne(
    Recorded,
    sql`with due as (
        select * from webhooks where enabled and 'session.expired' = any (events) for no key update skip locked
      ), told as (${told}), checked as (
        update webhooks set sessions_checked_at = now() from due where webhooks.id = due.id
      )
      select exists (select from told) as has_events`,
  )
  const { hasEvents } = yield* query(recorded)
  yield* wakeIf(hasEvents)
})

/** Notices what ends without a request: turns whose process is gone, and sessions that are idle for too long. */
export const layer = Layer.scopedDiscard(
  Effect.flatMap(Ledger, (ledger) => Effect.zipRight(ledger.endDead, recordExpiredSessions)).pipe(
    Effect.catchAllCause((cause) => Effect.logWarning("cleanup.endings_not_checked", cause)),
    Effect.repeat(Schedule.spaced(interval)),
    // The clean-up looks at the start: a server that has few connections must not have to serve both and the first requests.
    Effect.delay(interval),
    Effect.forkScoped,
  ),
)
