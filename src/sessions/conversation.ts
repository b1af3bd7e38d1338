import * as SqlClient from "@effect/sql/SqlClient"
import type * as Statement from "@effect/sql/Statement"
import { Context, Duration, Effect, Layer, Option, Schema } from "effect"
import { Settings } from "../config.ts"
import type { DatabaseError } from "../db/errors.ts"
import { read, transaction } from "../db/postgres.ts"
import { Message, SessionNotFound, UnknownPosition } from "./model.ts"

/** The session that a turn belongs to. A new one is stored together with the turn, so a failed turn leaves none. */
export interface TurnSession {
  readonly id: string
  readonly isNew: boolean
}

/** What was said and heard in one turn. */
export interface SaidTurn {
  readonly turnId: string
  readonly userId: string
  readonly session: TurnSession
  readonly transcript: string
  readonly response: string
}

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
    /** The newest messages of the session for the model, oldest first. */
    readonly context: (sessionId: string) => Effect.Effect<ReadonlyArray<Message>, DatabaseError>
    /** Both messages, and the session where it is new, or nothing. Fails where the session was deleted meanwhile. */
    readonly save: (turn: SaidTurn) => Effect.Effect<void, SessionNotFound | DatabaseError>
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
          read(sql`select id, turn_id, role, content, interrupted, created_at from messages
            where ${where} order by sequence desc limit ${limit}`),
          (rows) => decode(rows.toReversed()),
        )

      const messages = Effect.fn("Conversation.messages")(function* (
        userId: string,
        sessionId: string,
        page: { readonly limit: number; readonly before: Option.Option<string> },
      ) {
        if (!isId(sessionId)) return yield* new SessionNotFound()
        const mine = yield* read(sql`select 1 from sessions where id = ${sessionId} and user_id = ${userId}`)
        if (mine.length === 0) return yield* new SessionNotFound()
        if (Option.isNone(page.before)) return yield* newest(sql`session_id = ${sessionId}`, page.limit)
        const [position] = yield* read(sql<{ readonly sequence: string }>`
          select sequence from messages where id = ${page.before.value} and session_id = ${sessionId}`)
        if (position === undefined) return yield* new UnknownPosition({ field: "before" })
        return yield* newest(sql`session_id = ${sessionId} and sequence < ${position.sequence}`, page.limit)
      })

      const join = Effect.fn("Conversation.join")(function* (userId: string, asked: Option.Option<string>) {
        const fresh: TurnSession = { id: crypto.randomUUID(), isNew: true }
        if (Option.isNone(asked) || !isId(asked.value)) return fresh
        const rows = yield* read(sql`select id from sessions where id = ${asked.value} and user_id = ${userId}
          and last_activity_at >= now() - make_interval(secs => ${Duration.toSeconds(sessionTimeout)})`)
        return rows.length === 0 ? fresh : { id: asked.value.toLowerCase(), isNew: false }
      })

      const context = Effect.fn("Conversation.context")((sessionId: string) =>
        newest(sql`session_id = ${sessionId}`, contextMessages),
      )

      const save = Effect.fn("Conversation.save")((turn: SaidTurn) => {
        const { turnId, userId, session } = turn
        const message = { sessionId: session.id, turnId }
        const both = sql`insert into messages ${sql.insert([
          { ...message, role: "user", content: turn.transcript },
          { ...message, role: "assistant", content: turn.response },
        ])}`
        const opened = sql`insert into sessions ${sql.insert({ id: session.id, userId })}`
        return transaction(sql, session.isNew ? Effect.zipRight(opened, both) : both).pipe(
          Effect.mapError((error) =>
            error._tag === "ConstraintViolated" && error.constraint === "messages_session_id_fkey"
              ? new SessionNotFound()
              : error,
          ),
          Effect.asVoid,
        )
      })

      return { messages, join, context, save }
    }),
  )
}
