import * as SqlClient from "@effect/sql/SqlClient"
import { Context, Effect, Layer, Option, Schema, Stream } from "effect"
import { Message, Session } from "../conversation/model.ts"
import type { DatabaseError } from "../db/errors.ts"
import { query } from "../db/postgres.ts"
import { Time } from "../schema.ts"
import { Keys } from "./keys.ts"
import { ApiKey, type User } from "./model.ts"

/** Rows that are in memory at once, of sessions (16 KB at most, each) and of what was said in one. */
const pageSize = 200

const ExportedSession = Session.pick("id", "title", "metadata", "createdAt", "lastActivityAt")

/** Without the speech, which is kept for a retry, for a day. */
const ExportedTurn = Schema.Struct({
  id: Schema.UUID,
  sessionId: Schema.UUID,
  state: Schema.String,
  transcript: Schema.NullOr(Schema.String),
  /** As the model wrote it; the messages hold what was heard of it. */
  response: Schema.NullOr(Schema.String),
  // As they are: what an earlier version wrote there is no reason to break an export off.
  timings: Schema.Unknown,
  usage: Schema.Unknown,
  createdAt: Time,
  endedAt: Schema.NullOr(Time),
})

/** The whole of an export. */
export const Exported = Schema.Struct({
  exportedAt: Time,
  user: Schema.Struct({ userId: Schema.UUID, email: Schema.String, createdAt: Time }),
  keys: Schema.Array(ApiKey),
  sessions: Schema.Array(Schema.Struct({ ...ExportedSession.fields, messages: Schema.Array(Message) })),
  turns: Schema.Array(ExportedTurn),
})

/** A row as JSON, of it what the Schema has. */
const jsonOf = <A, I>(schema: Schema.Schema<A, I>) => {
  const encode = Schema.encodeUnknownSync(schema)
  return (row: unknown) => JSON.stringify(encode(row))
}
const keyJson = jsonOf(ApiKey)
const sessionJson = jsonOf(ExportedSession)
const messageJson = jsonOf(Message)
const turnJson = jsonOf(ExportedTurn)

interface Placed {
  /** Where the next page goes on. */
  readonly sequence: string
}

interface PlacedSession {
  /** Its time of creation to the microsecond, which a Date would not keep. */
  readonly position: string
  readonly id: string
}

/** Before every other. */
const firstId = "00000000-0000-0000-0000-000000000000"

/** `open`, the rows of all pages as the members of a JSON list, and `close`: a text for each page. */
const listOf = <Row extends Placed, E>(options: {
  readonly open: string
  readonly page: (after: string) => Effect.Effect<ReadonlyArray<Row>, E>
  readonly json: (row: unknown) => string
  readonly close: string
}): Stream.Stream<string, E> =>
  Stream.paginateEffect(Option.none<string>(), (after) =>
    Effect.map(options.page(Option.getOrElse(after, () => "0")), (rows) => {
      const last = rows.length < pageSize ? undefined : rows.at(-1)
      const start = Option.isNone(after) ? options.open : rows.length > 0 ? "," : ""
      const text = `${start}${rows.map(options.json).join(",")}${last === undefined ? options.close : ""}`
      return [text, last === undefined ? Option.none() : Option.some(Option.some(last.sequence))]
    }),
  )

/** All that is stored of a user, as one JSON document that is never whole in memory. */
export class AccountExport extends Context.Tag("AccountExport")<
  AccountExport,
  {
    /**
     * `{exportedAt, user, keys, sessions: [{…, messages}], turns}` in UTF-8. Holds nothing of the database between one
     * page and the next, however slowly it is read; what is said meanwhile may be in it or not.
     */
    readonly of: (user: User) => Effect.Effect<Stream.Stream<Uint8Array, DatabaseError>, DatabaseError>
  }
>() {
  static readonly layer = Layer.effect(
    AccountExport,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const keys = yield* Keys

      const messages = (sessionId: string, open: string) =>
        listOf({
          open,
          page: (after) =>
            query(sql<Placed>`select sequence, id, turn_id, payload ->> 'role' as role, payload ->> 'text' as content,
                interrupted, created_at
              from items where session_id = ${sessionId} and sequence > ${after} and type = 'message'
              order by sequence limit ${pageSize}`),
          json: messageJson,
          close: "]}",
        })

      const turns = (userId: string) =>
        listOf({
          open: `],"turns":[`,
          page: (after) =>
            query(sql<Placed>`select sequence, id, session_id, state, transcript, response, timings, usage, created_at, ended_at
              from turns where user_id = ${userId} and sequence > ${after}
              order by sequence limit ${pageSize}`),
          json: turnJson,
          close: "]}",
        })

      /** In the order in which they were made: that of their activity changes under one who reads along it. */
      const sessions = (userId: string) =>
        Stream.paginateEffect({ position: "-infinity", id: firstId }, (after) =>
          Effect.map(
            query(sql<PlacedSession>`select created_at::text as position, id, title, metadata, created_at, last_activity_at
              from sessions where user_id = ${userId}
                and (created_at, id) > (${after.position}::timestamptz, ${after.id}::uuid)
              order by created_at, id limit ${pageSize}`),
            (rows) => [rows, Option.fromNullable(rows.length < pageSize ? undefined : rows.at(-1))],
          ),
        ).pipe(
          Stream.flattenIterables,
          Stream.zipWithIndex,
          Stream.flatMap(([session, index]) =>
            messages(
              session.id,
              `${index === 0 ? "" : ","}${sessionJson(session).slice(0, -1)},"messages":[`,
            ),
          ),
        )

      const of = Effect.fn("AccountExport.of")(function* (user: User) {
        // Asked for before the answer begins, so that a database that is away has its status.
        const own = yield* keys.list(user.id)
        const head = {
          exportedAt: new Date(),
          user: { userId: user.id, email: user.email, createdAt: user.createdAt },
        }
        const start = `${JSON.stringify(head).slice(0, -1)},"keys":[${own.map(keyJson).join(",")}],"sessions":[`
        return Stream.make(start).pipe(
          Stream.concat(sessions(user.id)),
          Stream.concat(turns(user.id)),
          Stream.encodeText,
        )
      })

      return { of }
    }),
  )
}
