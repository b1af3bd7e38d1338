import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type * as Statement from "@effect/sql/Statement"
import { Context, Effect, Layer, Option, Schema } from "effect"
import type { DatabaseError } from "../db/errors.ts"
import { query } from "../db/postgres.ts"
import { findAll, findFirst } from "../db/rows.ts"
import { parseId, SessionId, UnknownPosition, type UserId } from "../schema.ts"
import { Item } from "./item.ts"
import { Message, SessionNotFound } from "./model.ts"

export interface MessagePage {
  readonly limit: number
  /** The id of the message that the page ends before. */
  readonly before: Option.Option<string>
}

const isUserMessage = ({ payload }: Item) => payload.type === "message" && payload.role === "user"

const Position = Schema.Struct({ sequence: Schema.String })

/** How far back the user's newest message is looked for: 500 tool calls with their results. */
const maxSinceUser = 1000

/** The columns of an `Item`. */
const itemColumns = (sql: SqlClient.SqlClient) => sql`id, turn_id,
  payload || jsonb_build_object('type', type) as payload, interrupted, heard_ms, audio_key, client_id, created_at`

/** The items that no summary stands for: a condition on `items`. */
const unsummarized = (sql: SqlClient.SqlClient, sessionId: SessionId) => sql`session_id = ${sessionId}
  and type <> 'summary' and sequence > coalesce((
    select max(sequence) from items where session_id = ${sessionId} and type = 'summary'
  ), -9223372036854775808)`

/**
 * The summary of a conversation, if there is one, and the newest `limit` items after it that meet a condition. Newest first.
 */
export const sinceSummary = (
  sql: SqlClient.SqlClient,
  sessionId: SessionId,
  limit: number,
  where = sql`true`,
) =>
  findAll(
    Item,
    sql`select ${itemColumns(sql)} from (
        (select * from items where session_id = ${sessionId} and type = 'summary' order by sequence desc limit 1)
        union all
        (select * from items where ${unsummarized(sql, sessionId)} and ${where}
          order by sequence desc limit ${limit})
      ) as found order by sequence desc`,
  )

/** The items of a session, in order. */
export class History extends Context.Tag("voice-agent/History")<
  History,
  {
    /** The newest `limit` messages before `before`, oldest first. `sessionId` is the text that the client sent. */
    readonly messages: (
      userId: UserId,
      sessionId: string,
      page: MessagePage,
    ) => Effect.Effect<ReadonlyArray<Message>, SessionNotFound | UnknownPosition | DatabaseError>
    /** The newest `limit` items of every type but summaries, oldest first. */
    readonly newest: (
      sessionId: SessionId,
      limit: number,
    ) => Effect.Effect<ReadonlyArray<Item>, DatabaseError>
    /**
     * The summary of the conversation, if there is one, and the newest `limit` items after it. If the user's newest message
     * is older, all items from that message on: the model must see what its tool calls are for. A message before the newest
     * 1,000 items is not found. Oldest first.
     */
    readonly forPrompt: (
      sessionId: SessionId,
      limit: number,
    ) => Effect.Effect<ReadonlyArray<Item>, DatabaseError>
  }
>() {
  static readonly layer = Layer.effect(
    History,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient

      const newestMessages = (where: Statement.Fragment, limit: number) =>
        query(
          findAll(
            Message,
            sql`select id, turn_id, payload ->> 'role' as role, payload ->> 'text' as content, interrupted, created_at
              from items where ${where} and type = 'message' order by sequence desc limit ${limit}`,
          ),
        )

      const messages = Effect.fn("History.messages")(function* (
        userId: UserId,
        sessionId: string,
        { limit, before }: MessagePage,
      ) {
        const id = yield* Effect.mapError(parseId(SessionId, sessionId), () => new SessionNotFound())
        const owned = yield* query(sql`select 1 from sessions where id = ${id} and user_id = ${userId}`)
        if (owned.length === 0) return yield* new SessionNotFound()
        if (Option.isNone(before)) {
          return (yield* newestMessages(sql`session_id = ${id}`, limit)).toReversed()
        }
        const position = yield* query(
          findFirst(
            Position,
            sql`select sequence from items
              where id = ${before.value} and session_id = ${id} and type = 'message'`,
          ),
        )
        if (Option.isNone(position)) return yield* new UnknownPosition({ field: "before", is: "message id" })
        const { sequence } = position.value
        return (yield* newestMessages(sql`session_id = ${id} and sequence < ${sequence}`, limit)).toReversed()
      })

      const oldestFirst = (rows: Effect.Effect<ReadonlyArray<Item>, SqlError>) =>
        Effect.map(query(rows), (found) => found.toReversed())

      const newest = Effect.fn("History.newest")((sessionId: SessionId, limit: number) =>
        oldestFirst(
          findAll(
            Item,
            sql`select ${itemColumns(sql)} from items where session_id = ${sessionId} and type <> 'summary'
              order by sequence desc limit ${limit}`,
          ),
        ),
      )

      const forPrompt = Effect.fn("History.forPrompt")(function* (sessionId: SessionId, limit: number) {
        const found = yield* oldestFirst(sinceSummary(sql, sessionId, limit))
        if (found.filter(({ payload }) => payload.type !== "summary").length < limit) return found
        if (found.some(isUserMessage)) return found
        const fromUser = sql`sequence >= (
          select sequence from (
            select sequence, type, payload from items where ${unsummarized(sql, sessionId)}
            order by sequence desc limit ${maxSinceUser}
          ) as latest
          where type = 'message' and payload ->> 'role' = 'user' order by sequence desc limit 1)`
        const sinceUser = yield* oldestFirst(sinceSummary(sql, sessionId, maxSinceUser, fromUser))
        return sinceUser.some(isUserMessage) ? sinceUser : found
      })

      return { messages, newest, forPrompt }
    }),
  )
}
