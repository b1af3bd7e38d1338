import type * as SqlClient from "@effect/sql/SqlClient"
import type { Fragment, Statement } from "@effect/sql/Statement"

type Sql = SqlClient.SqlClient

/** A time as JSON has it, whatever the time zone of the database. */
export const isoTime = (sql: Sql, time: Fragment) =>
  sql`to_char((${time}) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`

/** What a statement that ends turns returns of each, for `withTurnEvents`. */
export const endedColumns = (sql: Sql) =>
  sql`id, user_id, session_id, agent_id, agent_version, state, created_at, ended_at, continues, is_aside, is_speculative,
    has_reply`

/**
 * How turns end. `failed`: by an error, or because the client left before it heard anything. `lost`: the process of the turn
 * ended.
 */
export type TurnOutcome = "completed" | "failed" | "lost"

/**
 * A statement that ends turns, and records the events of webhooks with them: both happen, or none. It returns the
 * `endedColumns` of each turn. `isTold`: a condition on these columns.
 */
export const withTurnEvents = (
  sql: Sql,
  statement: Statement<unknown> | Fragment,
  outcome: TurnOutcome,
  isTold: Fragment = sql`true`,
) => {
  const type = outcome === "completed" ? "turn.completed" : "turn.failed"
  const reason =
    outcome === "completed" ? sql`'{}'::jsonb` : sql`jsonb_build_object('reason', ${outcome}::text)`
  return sql`with ended as (${statement}),
    told as (
      insert into webhook_deliveries (webhook_id, type, data)
      select webhooks.id, ${type}, jsonb_build_object(
          'turnId', ended.id,
          'sessionId', session_id,
          'agentId', coalesce(agent_id::text, 'default'),
          'agentVersion', agent_version,
          -- A row that is deleted says that the turn runs.
          'status', case when state = 'running' then 'failed' else state end,
          'startedAt', ${isoTime(sql, sql`ended.created_at`)},
          'endedAt', ${isoTime(sql, sql`coalesce(ended_at, now())`)}
        ) || ${reason}
      from ended join webhooks on webhooks.user_id = ended.user_id
      where webhooks.enabled and ${type} = any (webhooks.events)
        and is_turn(has_reply, is_aside, is_speculative) and ${isTold}
    )
    select * from ended`
}

/** A statement that records the outcome of a tool call, with the event of it. It has to return the whole row of tool_calls. */
export const withToolEvent = (sql: Sql, statement: Statement<unknown> | Fragment) =>
  sql`with called as (${statement})
    insert into webhook_deliveries (webhook_id, type, data)
    select webhooks.id, 'tool.called', jsonb_build_object(
        'turnId', turns.id,
        'sessionId', session_id,
        'itemId', called.id,
        'callId', call_id,
        'tool', called.name,
        'isError', is_error,
        'startedAt', ${isoTime(sql, sql`called.started_at`)},
        'endedAt', ${isoTime(sql, sql`called.ended_at`)}
      )
    from called join turns on turns.id = turn_id join webhooks on webhooks.user_id = turns.user_id
    where webhooks.enabled and 'tool.called' = any (webhooks.events)`
