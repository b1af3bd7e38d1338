import type * as SqlClient from "@effect/sql/SqlClient"
import type { Fragment } from "@effect/sql/Statement"
import { configuredId } from "../schema.ts"

/** A time as JSON has it, whatever the time zone of the database. */
export const isoTime = (sql: SqlClient.SqlClient, time: Fragment) =>
  sql`to_char((${time}) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`

/** The column `agent_id` as clients see it: none is the agent of the configuration. */
export const shownAgentId = (sql: SqlClient.SqlClient) => sql`coalesce(agent_id::text, ${configuredId})`
