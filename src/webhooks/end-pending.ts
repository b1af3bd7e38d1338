import type * as SqlClient from "@effect/sql/SqlClient"
import type { WebhookId } from "../schema.ts"

type Sql = SqlClient.SqlClient

const ended = (sql: Sql) =>
  sql`state = 'failed', next_attempt_at = null, queued_for = null, ended_at = now(), error = 'The webhook was disabled.'`

/** Ends the pending deliveries of a webhook that is disabled. The outcome of an attempt that runs is still recorded. */
export const endPending = (sql: Sql, id: WebhookId) =>
  sql`update webhook_deliveries set ${ended(sql)} where webhook_id = ${id} and state = 'pending'`

/** So many of a webhook end at a time, so that it takes milliseconds. */
const maxEnded = 1000

/**
 * Ends what is queued for disabled webhooks: events of transactions that began while the webhook was enabled, and committed
 * after its pending deliveries were ended.
 */
export const endQueuedOfDisabled = (sql: Sql) =>
  sql`update webhook_deliveries set ${ended(sql)} where id in (
      select queued.id
      from webhooks as webhook cross join lateral (
        select id from webhook_deliveries
        where queued_for = webhook.user_id and webhook_id = webhook.id
        limit ${maxEnded} for update skip locked
      ) as queued
      where not webhook.enabled
    )`
