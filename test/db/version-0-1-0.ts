import * as SqlClient from "@effect/sql/SqlClient"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Effect, Redacted, String as Str } from "effect"

/** The connections of version 0.1.0. */
export const connect = (url: string) =>
  PgClient.layer({
    url: Redacted.make(url),
    transformResultNames: Str.snakeToCamel,
    transformQueryNames: Str.camelToSnake,
    transformJson: false,
  })

interface Said {
  readonly id: string
  readonly userId: string
  readonly session: { readonly id: string; readonly isNew: boolean }
  readonly transcript: string
  readonly heard: string
  readonly isWhole: boolean
}

/** The statements of version 0.1.0 on `messages`, unchanged. */
export const statements = Effect.map(SqlClient.SqlClient, (sql) => ({
  /** The transaction of `save`, without the update of the turn's row. */
  save: ({ id, userId, session, transcript, heard, isWhole }: Said) => {
    const message = { sessionId: session.id, turnId: id }
    const opened = sql`insert into sessions ${sql.insert({ id: session.id, userId })} on conflict (id) do nothing`
    const said = sql`insert into messages ${sql.insert([
      { ...message, role: "user", content: transcript, interrupted: false },
      { ...message, role: "assistant", content: heard, interrupted: !isWhole },
    ])}`
    const heldUser = sql`select 1 from users where id = ${userId} for key share`
    const held = sql`select 1 from sessions where id = ${session.id} for key share`
    return sql.withTransaction(
      Effect.gen(function* () {
        if (session.isNew) yield* heldUser
        yield* held
        if (session.isNew) yield* opened
        yield* said
      }),
    )
  },
  newest: (sessionId: string, limit: number) =>
    sql`select id, turn_id, role, content, interrupted, created_at from messages
            where ${sql`session_id = ${sessionId}`} order by sequence desc limit ${limit}`,
  position: (sessionId: string, before: string) => sql<{ readonly sequence: string }>`
          select sequence from messages where id = ${before} and session_id = ${sessionId}`,
  newestBefore: (sessionId: string, sequence: string, limit: number) =>
    sql`select id, turn_id, role, content, interrupted, created_at from messages
            where ${sql`session_id = ${sessionId} and sequence < ${sequence}`} order by sequence desc limit ${limit}`,
  deleteEmptySessions: sql`delete from sessions s where last_activity_at < now() - interval '24 hours'
    and not exists (select 1 from messages m where m.session_id = s.id) returning 1`,
  exported: (sessionId: string, after: string, pageSize: number) =>
    sql`select sequence, id, turn_id, role, content, interrupted, created_at
              from messages where session_id = ${sessionId} and sequence > ${after}
              order by sequence limit ${pageSize}`,
}))
