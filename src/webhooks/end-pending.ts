import type * as SqlClient from "@effect/sql/SqlClient"
import type { WebhookId } from "../schema.ts"

/** Ends the pending deliveries of a webhook that was disabled. The outcome of an attempt that runs is still recorded. */
export const endPending = (sql: SqlClient.SqlClient, id: WebhookId) =>
  sql`update webhook_deliveries
    set state = 'failed', next_attempt_at = null, queued_for = null, ended_at = now(), error = 'The webhook was disabled.'
    where webhook_id = ${id} and state = 'pending'`
