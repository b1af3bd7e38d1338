import * as SqlClient from "@effect/sql/SqlClient"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Context, Duration, Effect, Encoding, Layer, Option, Schema } from "effect"
import { Settings } from "../config.ts"
import type { DatabaseError } from "../db/errors.ts"
import { query, transaction } from "../db/postgres.ts"
import { findAll, findFirst, findOne } from "../db/rows.ts"
import { shownAgentId } from "../db/shown.ts"
import { AgentId, newId, parseId, SessionId, UnknownPosition, type UserId } from "../schema.ts"
import { Session, type SessionDetails, SessionExpired, SessionNotFound } from "./model.ts"
import { agentColumns, agentOfColumns, type SessionAgent, type TurnSession } from "./stored-turn.ts"

export interface SessionPage {
  readonly limit: number
  readonly cursor: Option.Option<string>
}

export interface SessionList {
  readonly sessions: ReadonlyArray<Session>
  /** Opaque: the `cursor` of the next page. None on the last page. */
  readonly nextCursor: Option.Option<string>
}

/**
 * The end of a page: the last session's activity, in microseconds since 1970, and its id. PostgreSQL has a time for each
 * number of up to 16 digits. It multiplies an interval by a double, which holds such a number exactly until 2255.
 */
const Cursor = Schema.parseJson(Schema.Tuple(Schema.String.pipe(Schema.pattern(/^\d{1,16}$/)), Schema.UUID))

const ListedSession = Schema.Struct({ ...Session.fields, position: Schema.String })

const Joinable = Schema.Struct({
  isStored: Schema.Boolean,
  agentId: Schema.NullOr(AgentId),
  agentVersion: Schema.NullOr(Schema.Int),
})

/** The columns of a session's agent, as clients see them. */
export const agentShown = (sql: SqlClient.SqlClient) => sql`${shownAgentId(sql)} as agent_id,
  case when agent_id is not null then coalesce(to_jsonb(agent_version), '"latest"') end as agent_version`

/** What is set on a session. An absent field stays as it is. */
export interface SessionChanges extends Pick<SessionDetails, "title" | "metadata"> {
  /** None: that of the configuration. */
  readonly agent?: Option.Option<SessionAgent>
}

/** The sessions of users. An `id` is the text that a client sent; a session of another user is not found. */
export class Sessions extends Context.Tag("voice-agent/Sessions")<
  Sessions,
  {
    readonly create: (userId: UserId, details: SessionChanges) => Effect.Effect<Session, DatabaseError>
    /** Most recent activity first. */
    readonly list: (
      userId: UserId,
      page: SessionPage,
    ) => Effect.Effect<SessionList, UnknownPosition | DatabaseError>
    readonly get: (userId: UserId, id: string) => Effect.Effect<Session, SessionNotFound | DatabaseError>
    readonly update: (
      userId: UserId,
      id: string,
      details: SessionChanges,
    ) => Effect.Effect<Session, SessionNotFound | DatabaseError>
    /** Deletes a session with its items and turns. */
    readonly remove: (userId: UserId, id: string) => Effect.Effect<void, SessionNotFound | DatabaseError>
    /** The session for a turn: the requested one, or a new one if that is unknown, expired, or not an id. */
    readonly join: (
      userId: UserId,
      requested: Option.Option<string>,
    ) => Effect.Effect<TurnSession, DatabaseError>
    /** The session for a turn, or an error if a turn cannot use that one. */
    readonly rejoin: (
      userId: UserId,
      id: string,
    ) => Effect.Effect<TurnSession, SessionNotFound | SessionExpired | DatabaseError>
  }
>() {
  static readonly layer = Layer.effect(
    Sessions,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const pg = yield* PgClient.PgClient
      const { sessionTimeout } = yield* Settings
      const timeout = sql`make_interval(secs => ${Duration.toSeconds(sessionTimeout)})`
      const columns = sql`id, user_id, title, metadata, created_at, last_activity_at,
        last_activity_at < now() - ${timeout} as expired,
        ${agentShown(sql)}`
      const orNotFound = Effect.mapError(() => new SessionNotFound())
      const owned = (userId: UserId, id: string) =>
        orNotFound(
          Effect.map(parseId(SessionId, id), (parsed) => sql`id = ${parsed} and user_id = ${userId}`),
        )
      const assigned = ({ title, metadata, agent }: SessionChanges) => ({
        ...(agent === undefined ? {} : agentColumns(agent)),
        ...(title === undefined ? {} : { title }),
        ...(metadata === undefined ? {} : { metadata: pg.json(metadata) }),
      })

      const create = Effect.fn("Sessions.create")((userId: UserId, details: SessionChanges) => {
        const values = sql.insert({ userId, ...assigned(details) })
        return transaction(sql, findOne(Session, sql`insert into sessions ${values} returning ${columns}`))
      })

      const list = Effect.fn("Sessions.list")(function* (userId: UserId, page: SessionPage) {
        const after = yield* Effect.transposeMapOption(page.cursor, (cursor) =>
          Effect.mapError(
            Effect.flatMap(Encoding.decodeBase64UrlString(cursor), Schema.decode(Cursor)),
            UnknownPosition.cursor,
          ),
        )
        const where = Option.match(after, {
          onNone: () => sql`user_id = ${userId}`,
          onSome: ([activity, id]) => sql`user_id = ${userId} and (last_activity_at, id) <
            (timestamptz 'epoch' + ${activity}::bigint * interval '1 microsecond', ${id}::uuid)`,
        })
        const rows = yield* query(
          findAll(
            ListedSession,
            sql`select ${columns}, (extract(epoch from last_activity_at) * 1000000)::bigint as position
              from sessions where ${where}
              order by last_activity_at desc, id desc limit ${page.limit + 1}`,
          ),
        )
        const last = rows.length > page.limit ? rows[page.limit - 1] : undefined
        return {
          sessions: rows.slice(0, page.limit),
          nextCursor: Option.map(Option.fromNullable(last), ({ position, id }) =>
            Encoding.encodeBase64Url(JSON.stringify([position, id])),
          ),
        }
      })

      const get = Effect.fn("Sessions.get")(function* (userId: UserId, id: string) {
        const where = yield* owned(userId, id)
        const found = yield* query(findFirst(Session, sql`select ${columns} from sessions where ${where}`))
        return yield* orNotFound(found)
      })

      const update = Effect.fn("Sessions.update")(function* (
        userId: UserId,
        id: string,
        details: SessionChanges,
      ) {
        const where = yield* owned(userId, id)
        const values = assigned(details)
        if (Object.keys(values).length === 0) return yield* get(userId, id)
        const statement = sql`update sessions set ${sql.update(values)} where ${where} returning ${columns}`
        return yield* orNotFound(yield* transaction(sql, findFirst(Session, statement)))
      })

      const remove = Effect.fn("Sessions.remove")(function* (userId: UserId, id: string) {
        const where = yield* owned(userId, id)
        const rows = yield* transaction(sql, sql`delete from sessions where ${where} returning id`)
        if (rows.length === 0) return yield* new SessionNotFound()
      })

      const join = Effect.fn("Sessions.join")(function* (userId: UserId, requested: Option.Option<string>) {
        const fresh: TurnSession = { id: newId(SessionId), isNew: true }
        const id = Option.flatMap(requested, (text) => parseId(SessionId, text))
        if (Option.isNone(id)) return fresh
        // A new session has no row before its first turn is saved, but a second turn can already join it.
        const found = yield* query(
          findFirst(
            Joinable,
            sql`select true as is_stored, agent_id, agent_version from sessions where id = ${id.value} and user_id = ${userId}
                and last_activity_at >= now() - ${timeout}
              union all
              (select false, agent_id, agent_version from turns
                where session_id = ${id.value} and user_id = ${userId} and state = 'running' and lease_until > now()
                  and not exists (select 1 from sessions where id = ${id.value})
                order by sequence)
              limit 1`,
          ),
        )
        return Option.match(found, {
          onNone: () => fresh,
          onSome: ({ isStored, ...columns }): TurnSession => ({
            id: id.value,
            isNew: !isStored,
            agent: agentOfColumns(columns),
          }),
        })
      })

      const rejoin = Effect.fn("Sessions.rejoin")(function* (userId: UserId, id: string) {
        const session = yield* join(userId, Option.some(id))
        if (session.id === id.toLowerCase()) return session
        yield* get(userId, id)
        return yield* new SessionExpired()
      })

      return { create, list, get, update, remove, join, rejoin }
    }),
  )
}
