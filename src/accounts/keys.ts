import * as SqlClient from "@effect/sql/SqlClient"
import { Context, Effect, Layer, Option, type Redacted, Schema } from "effect"
import type { DatabaseError } from "../db/errors.ts"
import { query, transaction } from "../db/postgres.ts"
import { hashApiKey, makeApiKey } from "./api-key.ts"
import {
  ApiKey,
  ApiKeyNotFound,
  InvalidApiKey,
  type KeyDetails,
  LastApiKey,
  SignedIn,
  TooManyApiKeys,
  unnamed,
} from "./model.ts"

/** Usable keys of one user: one for each device and deployment of somebody with many. */
const most = 20
/** Keys of one user with those that have ended, which are kept to be told of: a list that needs no pages. */
const mostKept = 100

/** A key, and the only time that it can be seen. */
export type NewApiKey = ApiKey & { readonly apiKey: Redacted.Redacted }

const Known = Schema.Struct({
  ...SignedIn.fields,
  isRevoked: Schema.Boolean,
  isExpired: Schema.Boolean,
  /** Its last use is not known to the minute. */
  isUnnoted: Schema.Boolean,
})

/** When a replaced key ended, and what its successor inherits: its name, and its lifetime from now on. */
const Replaced = Schema.Struct({ name: Schema.String, expiresAt: Schema.NullOr(Schema.DateFromSelf) })

const isId = Schema.is(Schema.UUID)

const rowsOf = <A, I>(schema: Schema.Schema<A, I>, rows: unknown) =>
  Effect.orDie(Schema.decodeUnknown(Schema.Array(Schema.typeSchema(schema)))(rows))

/** The keys by which users are known. Each user's are seen and changed by nobody else. */
export class Keys extends Context.Tag("Keys")<
  Keys,
  {
    /** Whose key this is. The same work whatever it looks like: one hash, one look-up. */
    readonly authenticate: (
      apiKey: Redacted.Redacted,
    ) => Effect.Effect<SignedIn, InvalidApiKey | DatabaseError>
    /** Also those that ended not long ago; the newest first. */
    readonly list: (userId: string) => Effect.Effect<ReadonlyArray<ApiKey>, DatabaseError>
    readonly create: (
      userId: string,
      details: KeyDetails,
    ) => Effect.Effect<NewApiKey, InvalidApiKey | TooManyApiKeys | DatabaseError>
    /** A key in place of this one, which goes on for `graceSeconds`. */
    readonly rotate: (
      userId: string,
      id: string,
      graceSeconds: number,
    ) => Effect.Effect<NewApiKey, InvalidApiKey | ApiKeyNotFound | TooManyApiKeys | DatabaseError>
    /** Ends a key at once, unless no other would remain; one that has ended stays as it is. */
    readonly revoke: (
      userId: string,
      id: string,
    ) => Effect.Effect<void, InvalidApiKey | ApiKeyNotFound | LastApiKey | DatabaseError>
    /** For the operator: a key in place of all of the user's, or of those by this name, which end at once. */
    readonly replace: (
      userId: string,
      name: Option.Option<string>,
    ) => Effect.Effect<NewApiKey, InvalidApiKey | ApiKeyNotFound | TooManyApiKeys | DatabaseError>
    /** For the operator: ends one key or all, also the last. Answers how many. */
    readonly withdraw: (
      userId: string,
      id: Option.Option<string>,
    ) => Effect.Effect<number, ApiKeyNotFound | DatabaseError>
  }
>() {
  static readonly layer = Layer.scoped(
    Keys,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const scope = yield* Effect.scope
      const columns = sql`id, name, prefix, created_at, last_used_at, expires_at, revoked_at`
      const isUsable = sql`(revoked_at is null or revoked_at > now()) and (expires_at is null or expires_at > now())`

      /** Changes of one user's keys come one after the other, so that what one has counted is so when it is done. */
      const inTurn = <A, E>(userId: string, change: Effect.Effect<A, E>) =>
        transaction(
          sql,
          Effect.gen(function* () {
            // Not `for update`: that would wait for turns that are just being stored.
            const rows = yield* sql`select 1 from users where id = ${userId} for no key update`
            if (rows.length === 0) return yield* new InvalidApiKey({ reason: "unknown" })
            return yield* change
          }),
        )

      const add = Effect.fnUntraced(function* (userId: string, name: string, expiresAt: Date | null) {
        const { apiKey, traces } = yield* makeApiKey
        const row = { id: crypto.randomUUID(), userId, name, expiresAt, ...traces }
        const rows = yield* sql`insert into api_keys ${sql.insert(row)} returning ${columns}`
        const [counted] = yield* sql<{ readonly usable: number; readonly all: number }>`
          select count(*) filter (where ${isUsable})::int as usable, count(*)::int as all
          from api_keys where user_id = ${userId}`
        if (counted === undefined || counted.usable > most) return yield* new TooManyApiKeys({ most })
        if (counted.all > mostKept) {
          yield* sql`delete from api_keys where id = (select id from api_keys
            where user_id = ${userId} and not (${isUsable}) order by created_at, id limit 1)`
        }
        const [made] = yield* rowsOf(ApiKey, rows)
        return made === undefined ? yield* Effect.dieMessage("an insert gave no row") : { ...made, apiKey }
      })

      const noting = new Set<string>()
      /** For its owner to see; a request does not wait for it, nor fail with it. */
      const noteUse = (keyId: string) =>
        Effect.suspend(() => {
          if (noting.has(keyId)) return Effect.void
          noting.add(keyId)
          return query(sql`update api_keys set last_used_at = now()
            where id = ${keyId} and (last_used_at is null or last_used_at < now() - interval '1 minute')`).pipe(
            Effect.catchAllCause((cause) => Effect.logDebug("key.last_use_not_recorded", cause)),
            Effect.ensuring(Effect.sync(() => noting.delete(keyId))),
            Effect.forkIn(scope),
          )
        })

      const authenticate = Effect.fn("Keys.authenticate")(function* (apiKey: Redacted.Redacted) {
        const rows = yield* query(sql`select u.id, u.email, u.created_at, k.id as key_id,
            coalesce(k.revoked_at <= now(), false) as is_revoked,
            coalesce(k.expires_at <= now(), false) as is_expired,
            coalesce(k.last_used_at < now() - interval '1 minute', true) as is_unnoted
          from api_keys k join users u on u.id = k.user_id where k.key_hash = ${hashApiKey(apiKey)}`)
        const [known] = yield* rowsOf(Known, rows)
        if (known === undefined) return yield* new InvalidApiKey({ reason: "unknown" })
        const { isRevoked, isExpired, isUnnoted, ...user } = known
        if (isRevoked) return yield* new InvalidApiKey({ reason: "revoked" })
        if (isExpired) return yield* new InvalidApiKey({ reason: "expired" })
        if (isUnnoted) yield* noteUse(user.keyId)
        return user
      })

      const list = Effect.fn("Keys.list")(function* (userId: string) {
        const rows = yield* query(sql`select ${columns} from api_keys
          where user_id = ${userId} order by created_at desc, id desc limit ${mostKept}`)
        return yield* rowsOf(ApiKey, rows)
      })

      const create = Effect.fn("Keys.create")((userId: string, { name, expiresAt }: KeyDetails) =>
        inTurn(userId, add(userId, name ?? unnamed, expiresAt ?? null)),
      )

      const rotate = Effect.fn("Keys.rotate")(function* (userId: string, id: string, graceSeconds: number) {
        if (!isId(id)) return yield* new ApiKeyNotFound()
        const replaced = Effect.gen(function* () {
          const rows = yield* sql`update api_keys
            set revoked_at = least(revoked_at, now() + make_interval(secs => ${graceSeconds}))
            where id = ${id} and user_id = ${userId} and ${isUsable}
            returning name, now() + (expires_at - created_at) as expires_at`
          const [old] = yield* rowsOf(Replaced, rows)
          return old === undefined ? yield* new ApiKeyNotFound() : yield* add(userId, old.name, old.expiresAt)
        })
        return yield* inTurn(userId, replaced)
      })

      const revoke = Effect.fn("Keys.revoke")(function* (userId: string, id: string) {
        if (!isId(id)) return yield* new ApiKeyNotFound()
        const revoked = Effect.gen(function* () {
          const rows = yield* sql<{ readonly wasUsable: boolean }>`
            select ${isUsable} as was_usable from api_keys where id = ${id} and user_id = ${userId}`
          const [key] = rows
          if (key === undefined) return yield* new ApiKeyNotFound()
          if (!key.wasUsable) return
          yield* sql`update api_keys set revoked_at = now() where id = ${id}`
          // One that was replaced ends by itself soon.
          const others = yield* sql`select 1 from api_keys
            where user_id = ${userId} and ${isUsable} and revoked_at is null limit 1`
          if (others.length === 0) return yield* new LastApiKey()
        })
        yield* inTurn(userId, revoked)
      })

      const replace = Effect.fn("Keys.replace")((userId: string, name: Option.Option<string>) => {
        const named = Option.match(name, { onNone: () => sql`true`, onSome: (name) => sql`name = ${name}` })
        const replaced = Effect.gen(function* () {
          const ended = yield* sql`update api_keys set revoked_at = now()
            where user_id = ${userId} and ${isUsable} and ${named} returning 1`
          if (ended.length === 0 && Option.isSome(name)) return yield* new ApiKeyNotFound()
          return yield* add(
            userId,
            Option.getOrElse(name, () => unnamed),
            null,
          )
        })
        return inTurn(userId, replaced)
      })

      const withdraw = Effect.fn("Keys.withdraw")(function* (userId: string, id: Option.Option<string>) {
        if (Option.exists(id, (id) => !isId(id))) return yield* new ApiKeyNotFound()
        const which = Option.match(id, { onNone: () => sql`true`, onSome: (id) => sql`id = ${id}` })
        const rows = yield* transaction(
          sql,
          sql`update api_keys set revoked_at = now()
            where user_id = ${userId} and ${isUsable} and ${which} returning 1`,
        )
        if (rows.length === 0 && Option.isSome(id)) return yield* new ApiKeyNotFound()
        return rows.length
      })

      return { authenticate, list, create, rotate, revoke, replace, withdraw }
    }),
  )
}
