import * as SqlClient from "@effect/sql/SqlClient"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Array as Arr, Context, Duration, Effect, Encoding, Layer, Option, Schema } from "effect"
import { Settings } from "../config.ts"
import type { DatabaseError } from "../db/errors.ts"
import { query, transaction } from "../db/postgres.ts"
import { Session, type SessionDetails, SessionNotFound, UnknownPosition } from "./model.ts"

export interface SessionPage {
  readonly sessions: ReadonlyArray<Session>
  /** Opaque; asks for the page after this one. None on the last. */
  readonly nextCursor: Option.Option<string>
}

/**
 * Where a page ended: the last session's activity, in microseconds since 1970, and its id. Each number of
 * up to 16 digits is a time that PostgreSQL knows, and exact in the double by which it multiplies an interval, until 2255.
 */
const Cursor = Schema.parseJson(Schema.Tuple(Schema.String.pipe(Schema.pattern(/^\d{1,16}$/)), Schema.UUID))

const isId = Schema.is(Schema.UUID)

/** The sessions of users, each seen by its owner only. */
export class Sessions extends Context.Tag("Sessions")<
  Sessions,
  {
    readonly create: (userId: string, details: SessionDetails) => Effect.Effect<Session, DatabaseError>
    readonly list: (
      userId: string,
      page: { readonly limit: number; readonly cursor: Option.Option<string> },
    ) => Effect.Effect<SessionPage, UnknownPosition | DatabaseError>
    readonly get: (userId: string, id: string) => Effect.Effect<Session, SessionNotFound | DatabaseError>
    readonly update: (
      userId: string,
      id: string,
      details: SessionDetails,
    ) => Effect.Effect<Session, SessionNotFound | DatabaseError>
    /** Its messages go with it. */
    readonly remove: (userId: string, id: string) => Effect.Effect<void, SessionNotFound | DatabaseError>
  }
>() {
  static readonly layer = Layer.effect(
    Sessions,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const pg = yield* PgClient.PgClient
      const { sessionTimeout } = yield* Settings
      const timeoutSeconds = Duration.toSeconds(sessionTimeout)
      const columns = sql`id, user_id, title, metadata, created_at, last_activity_at,
        last_activity_at < now() - make_interval(secs => ${timeoutSeconds}) as expired`
      const decode = (rows: unknown) =>
        Effect.orDie(Schema.decodeUnknown(Schema.Array(Schema.typeSchema(Session)))(rows))
      const one = (rows: unknown) =>
        Effect.flatMap(decode(rows), (found) => Effect.mapError(Arr.head(found), () => new SessionNotFound()))
      const owned = (userId: string, id: string) =>
        isId(id) ? Effect.succeed(sql`id = ${id} and user_id = ${userId}`) : new SessionNotFound()
      const assigned = (details: SessionDetails) => ({
        ...(details.title === undefined ? {} : { title: details.title }),
        ...(details.metadata === undefined ? {} : { metadata: pg.json(details.metadata) }),
      })

      const create = Effect.fn("Sessions.create")(function* (userId: string, details: SessionDetails) {
        const rows = yield* transaction(
          sql,
          sql`insert into sessions ${sql.insert({ userId, ...assigned(details) })} returning ${columns}`,
        )
        return yield* Effect.orDie(one(rows))
      })

      const list = Effect.fn("Sessions.list")(function* (
        userId: string,
        page: { readonly limit: number; readonly cursor: Option.Option<string> },
      ) {
        const after = yield* Effect.transposeMapOption(page.cursor, (cursor) =>
          Effect.mapError(
            Effect.flatMap(Encoding.decodeBase64UrlString(cursor), Schema.decode(Cursor)),
            () => new UnknownPosition({ field: "cursor" }),
          ),
        )
        const where = Option.match(after, {
          onNone: () => sql`user_id = ${userId}`,
          onSome: ([activity, id]) => sql`user_id = ${userId} and (last_activity_at, id) <
            (timestamptz 'epoch' + ${activity}::bigint * interval '1 microsecond', ${id}::uuid)`,
        })
        const rows = yield* query(sql<{ readonly position: string; readonly id: string }>`
          select ${columns}, (extract(epoch from last_activity_at) * 1000000)::bigint as position
          from sessions where ${where}
          order by last_activity_at desc, id desc limit ${page.limit + 1}`)
        const last = rows.length > page.limit ? rows[page.limit - 1] : undefined
        return {
          sessions: yield* decode(rows.slice(0, page.limit)),
          nextCursor: Option.map(Option.fromNullable(last), ({ position, id }) =>
            Encoding.encodeBase64Url(JSON.stringify([position, id])),
          ),
        }
      })

      const get = Effect.fn("Sessions.get")(function* (userId: string, id: string) {
        const mine = yield* owned(userId, id)
        return yield* one(yield* query(sql`select ${columns} from sessions where ${mine}`))
      })

      const update = Effect.fn("Sessions.update")(function* (
        userId: string,
        id: string,
        details: SessionDetails,
      ) {
        const mine = yield* owned(userId, id)
        const values = assigned(details)
        if (Object.keys(values).length === 0) return yield* get(userId, id)
        const statement = sql`update sessions set ${sql.update(values)} where ${mine} returning ${columns}`
        return yield* one(yield* transaction(sql, statement))
      })

      const remove = Effect.fn("Sessions.remove")(function* (userId: string, id: string) {
        const mine = yield* owned(userId, id)
        const rows = yield* transaction(sql, sql`delete from sessions where ${mine} returning id`)
        if (rows.length === 0) return yield* new SessionNotFound()
      })

      return { create, list, get, update, remove }
    }),
  )
}
