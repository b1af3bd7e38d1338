import type * as SqlClient from "@effect/sql/SqlClient"
import type { Fragment, Statement } from "@effect/sql/Statement"
import { isoTime, shownAgentId } from "../db/shown.ts"
import type { EventType, FailureReason, RecordedField } from "./events.ts"

type Sql = SqlClient.SqlClient

/**
 * A statement that records an event of each row of `from`, for the webhooks of its user that ask for such events. It can be a
 * part of the statement that makes the rows: both happen, or none. It returns a row for each delivery.
 */
export const recordEvents = <Type extends EventType>(
  sql: Sql,
  type: Type,
  event: {
    readonly from: Fragment
    /** Of a row. */
    readonly userId: Fragment
    readonly where?: Fragment
    /** Now by default. */
    readonly occurredAt?: Fragment
    readonly data: Readonly<Record<RecordedField<Type>, Fragment>>
    /** The only webhooks that count; rows of `webhooks`. */
    readonly webhooks?: Fragment
  },
) => {
  const { from, userId, where = sql`true`, occurredAt = sql`now()`, webhooks = sql`webhooks` } = event
  const data = Object.entries<Fragment>(event.data).map(([name, value]) => sql`${name}::text, ${value}`)
  return sql`insert into webhook_deliveries (webhook_id, queued_for, type, occurred_at, data)
    select webhook.id, webhook.user_id, ${type}, ${occurredAt}, jsonb_build_object(${sql.csv(data)})
    from ${from} join ${webhooks} as webhook on webhook.user_id = ${userId}
    where webhook.enabled and ${type} = any (webhook.events) and ${where}
    returning 1`
}

/** The fields of an agent, from the columns `agent_id` and `agent_version`. */
export const agentFields = (sql: Sql) => ({ agentId: shownAgentId(sql), agentVersion: sql`agent_version` })

/** What a statement that ends turns returns of each, for `withTurnEvents`. */
export const endedColumns = (sql: Sql) =>
  sql`id, user_id, session_id, agent_id, agent_version, state, created_at, ended_at, continues, is_aside, is_speculative,
    has_reply`

/** How turns end. `failed` also if the client left before it heard anything. `lost`: the process of the turn ended. */
export type TurnOutcome = "completed" | typeof FailureReason.Type

/**
 * A statement that ends turns, and records the events of webhooks with them. It returns the `endedColumns` of each turn,
 * and `has_events`: whether webhooks are told of any of them.
 * `isTold`: a condition on these columns. `code`: of the error, as in docs/reference/errors.md.
 */
export const withTurnEvents = (
  sql: Sql,
  statement: Statement<unknown> | Fragment,
  outcome: TurnOutcome,
  { isTold = sql`true`, code }: { readonly isTold?: Fragment; readonly code?: string | undefined } = {},
) => {
  const rows = {
    from: sql`ended`,
    userId: sql`ended.user_id`,
    // Without an answer that began too early and was dropped.
    where: sql`is_turn(has_reply, is_aside, is_speculative) and ${isTold}`,
  }
  const data = {
    turnId: sql`ended.id`,
    sessionId: sql`session_id`,
    ...agentFields(sql),
    // A row that is deleted says that the turn runs.
    status: sql`case when state = 'running' then 'failed' else state end`,
    startedAt: isoTime(sql, sql`ended.created_at`),
    endedAt: isoTime(sql, sql`coalesce(ended_at, now())`),
  }
  const told =
    outcome === "completed"
      ? recordEvents(sql, "turn.completed", { ...rows, data })
      : recordEvents(sql, "turn.failed", {
          ...rows,
          data: { ...data, reason: sql`${outcome}::text`, code: sql`${code ?? null}::text` },
        })
  return sql`with ended as (${statement}), told as (${told}) select *, exists (select from told) as has_events from ended`
}

/**
 * A statement that records the outcome of a tool call, with the event of it: it returns a row for each delivery.
 * `statement` has to return the whole row of tool_calls.
 */
export const withToolEvent = (sql: Sql, statement: Statement<unknown> | Fragment) => {
  const told = recordEvents(sql, "tool.called", {
    from: sql`called join turns on turns.id = turn_id`,
    userId: sql`turns.user_id`,
    data: {
      turnId: sql`turns.id`,
      sessionId: sql`session_id`,
      itemId: sql`called.id`,
      callId: sql`call_id`,
      tool: sql`called.name`,
      isError: sql`is_error`,
      startedAt: isoTime(sql, sql`called.started_at`),
      endedAt: isoTime(sql, sql`called.ended_at`),
    },
  })
  return sql`with called as (${statement}) ${told}`
}
