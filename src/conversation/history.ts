import * as SqlClient from "@effect/sql/SqlClient"
import type * as Statement from "@effect/sql/Statement"
import { Context, Duration, Effect, Layer, Option, Schema } from "effect"
import { Settings } from "../config.ts"
import type { DatabaseError } from "../db/errors.ts"
import { query } from "../db/postgres.ts"
import { Message, SessionExpired, SessionNotFound, UnknownPosition } from "./model.ts"
import type { TurnSession } from "./stored-turn.ts"

const isId = Schema.is(Schema.UUID)

/** What was said in a session, in the order in which it was said. */
export class Conversation extends Context.Tag("Conversation")<
  Conversation,
  {
    /** The newest `limit` messages before the message `before`, oldest first. */
    readonly messages: (
      userId: string,
      sessionId: string,
      page: { readonly limit: number; readonly before: Option.Option<string> },
    ) => Effect.Effect<ReadonlyArray<Message>, SessionNotFound | UnknownPosition | DatabaseError>
    /** The session asked for; a new one where that is unknown, another user's, expired, or not an id. */
    readonly join: (userId: string, asked: Option.Option<string>) => Effect.Effect<TurnSession, DatabaseError>
    /** That session and no other. Fails where there is none such, or where no turn may join it any more. */
    readonly rejoin: (
      userId: string,
      id: string,
    ) => Effect.Effect<TurnSession, SessionNotFound | SessionExpired | DatabaseError>
    /** The newest messages of the session for the model, oldest first. */
    readonly context: (sessionId: string) => Effect.Effect<ReadonlyArray<Message>, DatabaseError>
  }
>() {
  static readonly layer = Layer.effect(
    Conversation,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { contextMessages, sessionTimeout } = yield* Settings
      const decode = (rows: unknown) =>
        Effect.orDie(Schema.decodeUnknown(Schema.Array(Schema.typeSchema(Message)))(rows))

      const newest = (where: Statement.Fragment, limit: number) =>
        Effect.flatMap(
          query(sql`select id, turn_id, role, content, interrupted, created_at from messages
            where ${where} order by sequence desc limit ${limit}`),
          (rows) => decode(rows.toReversed()),
        )

      const messages = Effect.fn("Conversation.messages")(function* (
        userId: string,
        sessionId: string,
        page: { readonly limit: number; readonly before: Option.Option<string> },
      ) {
        if (!isId(sessionId)) return yield* new SessionNotFound()
        const mine = yield* query(sql`select 1 from sessions where id = ${sessionId} and user_id = ${userId}`)
        if (mine.length === 0) return yield* new SessionNotFound()
        if (Option.isNone(page.before)) return yield* newest(sql`session_id = ${sessionId}`, page.limit)
        const [position] = yield* query(sql<{ readonly sequence: string }>`
          select sequence from messages where id = ${page.before.value} and session_id = ${sessionId}`)
        if (position === undefined) return yield* new UnknownPosition({ field: "before" })
        return yield* newest(sql`session_id = ${sessionId} and sequence < ${position.sequence}`, page.limit)
      })

      const join = Effect.fn("Conversation.join")(function* (userId: string, asked: Option.Option<string>) {
        const fresh: TurnSession = { id: crypto.randomUUID(), isNew: true }
        if (Option.isNone(asked) || !isId(asked.value)) return fresh
        const id = asked.value.toLowerCase()
        // A session is there, too, while its first turn still runs: who speaks into it goes on with it.
        const [found] = yield* query(sql<{ readonly isStored: boolean }>`
          select true as is_stored from sessions where id = ${id} and user_id = ${userId}
            and last_activity_at >= now() - make_interval(secs => ${Duration.toSeconds(sessionTimeout)})
          union all
          select false from turns where session_id = ${id} and user_id = ${userId} and state = 'running'
            and lease_until > now() and not exists (select 1 from sessions where id = ${id})
          limit 1`)
        return found === undefined ? fresh : { id, isNew: !found.isStored }
      })

      const rejoin = Effect.fn("Conversation.rejoin")(function* (userId: string, id: string) {
        const session = yield* join(userId, Option.some(id))
        if (session.id === id.toLowerCase()) return session
        const mine = isId(id)
          ? yield* query(sql`select 1 from sessions where id = ${id} and user_id = ${userId}`)
          : []
        return yield* mine.length === 0 ? new SessionNotFound() : new SessionExpired()
      })

      const context = Effect.fn("Conversation.context")((sessionId: string) =>
        newest(sql`session_id = ${sessionId}`, contextMessages),
      )

      return { messages, join, rejoin, context }
    }),
  )
}
