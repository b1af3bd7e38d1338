import * as SqlClient from "@effect/sql/SqlClient"
import { Context, Effect, Layer, Option, type Redacted, Schema } from "effect"
import type { DatabaseError } from "../db/errors.ts"
import { query, transaction } from "../db/postgres.ts"
import { findAll, findFirst, findOne } from "../db/rows.ts"
import { ApiKeyId, newId, type UserId } from "../schema.ts"
import { hashApiKey, isClientSecret, makeApiKey } from "./api-key.ts"
import { ApiKeyNotFound, InvalidApiKey, LastApiKey, TooManyApiKeys } from "./errors.ts"
import { ApiKey, defaultKeyName, type KeyDetails, SignedIn } from "./model.ts"

/** Valid keys per user: enough for one per device and deployment. */
const maxValid = 20
/** Keys per user including those that have ended, so that the list needs no pages. The oldest ended ones are deleted. */
const maxStored = 100

/** A key in the one response that contains it. */
export type NewApiKey = ApiKey & { readonly apiKey: Redacted.Redacted }

const KeyOwner = Schema.Struct({
  ...SignedIn.fields,
  isRevoked: Schema.Boolean,
  isExpired: Schema.Boolean,
  /** The recorded last use is more than a minute old. */
  isUseOutdated: Schema.Boolean,
})

/** What a new key inherits in a rotation: the name, and the lifetime counted from now. */
const Rotated = Schema.Struct({ name: Schema.String, expiresAt: ApiKey.fields.expiresAt })

const Count = Schema.Struct({ valid: Schema.Int, stored: Schema.Int })
const KeyId = Schema.Struct({ id: ApiKeyId })
const Validity = Schema.Struct({ isValid: Schema.Boolean })

/** The API keys of users. A user's keys are seen and changed by that user and the operator only. */
export class Keys extends Context.Tag("voice-agent/Keys")<
  Keys,
  {
    /** The owner of a key. Every text costs one hash and one look-up, so the time reveals nothing. */
    readonly authenticate: (
      apiKey: Redacted.Redacted,
    ) => Effect.Effect<SignedIn, InvalidApiKey | DatabaseError>
    /** Those of the keys that are valid now. A deleted key is not. */
    readonly validOf: (ids: ReadonlyArray<ApiKeyId>) => Effect.Effect<ReadonlySet<ApiKeyId>, DatabaseError>
    /** The user's keys, newest first, including those that have ended. */
    readonly list: (userId: UserId) => Effect.Effect<ReadonlyArray<ApiKey>, DatabaseError>
    readonly create: (
      userId: UserId,
      details: KeyDetails,
    ) => Effect.Effect<NewApiKey, InvalidApiKey | TooManyApiKeys | DatabaseError>
    /** Replaces a key; the old one stays valid for `graceSeconds`. */
    readonly rotate: (
      userId: UserId,
      id: ApiKeyId,
      graceSeconds: number,
    ) => Effect.Effect<NewApiKey, InvalidApiKey | ApiKeyNotFound | TooManyApiKeys | DatabaseError>
    /** Revokes a key at once, unless it is the last valid one. Does nothing to a key that has ended. */
    readonly revoke: (
      userId: UserId,
      id: ApiKeyId,
    ) => Effect.Effect<void, InvalidApiKey | ApiKeyNotFound | LastApiKey | DatabaseError>
    /** For the operator: revokes all keys of the user, or those with this name, and creates one. */
    readonly replace: (
      userId: UserId,
      name: Option.Option<string>,
    ) => Effect.Effect<NewApiKey, InvalidApiKey | ApiKeyNotFound | TooManyApiKeys | DatabaseError>
    /** For the operator: revokes one key or all, including the last. Returns how many. */
    readonly withdraw: (
      userId: UserId,
      id: Option.Option<ApiKeyId>,
    ) => Effect.Effect<number, ApiKeyNotFound | DatabaseError>
  }
>() {
  static readonly layer = Layer.scoped(
    Keys,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const scope = yield* Effect.scope
      const columns = sql`id, name, prefix, created_at, last_used_at, expires_at, revoked_at`
      const isValid = sql`(revoked_at is null or revoked_at > now()) and (expires_at is null or expires_at > now())`

      /** Locks the user's row, so that changes of one user's keys run one after the other and counts stay true. */
      const withLock = <A, E>(userId: UserId, change: Effect.Effect<A, E>) =>
        transaction(
          sql,
          Effect.gen(function* () {
            // `for update` would wait for turns that are being stored: their foreign key locks the row too.
            const rows = yield* sql`select 1 from users where id = ${userId} for no key update`
            if (rows.length === 0) return yield* new InvalidApiKey({ reason: "unknown" })
            return yield* change
          }),
        )

      const add = Effect.fnUntraced(function* (userId: UserId, name: string, expiresAt: Date | null) {
        const { apiKey, stored } = yield* makeApiKey
        const row = { id: newId(ApiKeyId), userId, name, expiresAt, ...stored }
        const added = yield* findOne(
          ApiKey,
          sql`insert into api_keys ${sql.insert(row)} returning ${columns}`,
        )
        const count = yield* findOne(
          Count,
          sql`select count(*) filter (where ${isValid})::int as valid, count(*)::int as stored
            from api_keys where user_id = ${userId}`,
        )
        if (count.valid > maxValid) return yield* new TooManyApiKeys({ max: maxValid })
        if (count.stored > maxStored) {
          yield* sql`delete from api_keys where id = (select id from api_keys
            where user_id = ${userId} and not (${isValid}) order by created_at, id limit 1)`
        }
        return { ...added, apiKey }
      })

      const recording = new Set<ApiKeyId>()
      /** In the background: a request neither waits for it nor fails with it. */
      const recordUse = (keyId: ApiKeyId) =>
        Effect.suspend(() => {
          if (recording.has(keyId)) return Effect.void
          recording.add(keyId)
          return query(sql`update api_keys set last_used_at = now()
            where id = ${keyId} and (last_used_at is null or last_used_at < now() - interval '1 minute')`).pipe(
            Effect.catchAllCause((cause) => Effect.logDebug("key.last_use_not_recorded", cause)),
            Effect.ensuring(Effect.sync(() => recording.delete(keyId))),
            Effect.forkIn(scope),
          )
        })

      const authenticate = Effect.fn("Keys.authenticate")(function* (apiKey: Redacted.Redacted) {
        if (isClientSecret(apiKey)) return yield* new InvalidApiKey({ reason: "secret-as-key" })
        const owner = yield* query(
          findFirst(
            KeyOwner,
            sql`select u.id, u.email, u.created_at, k.id as key_id,
                coalesce(k.revoked_at <= now(), false) as is_revoked,
                coalesce(k.expires_at <= now(), false) as is_expired,
                coalesce(k.last_used_at < now() - interval '1 minute', true) as is_use_outdated
              from api_keys k join users u on u.id = k.user_id where k.key_hash = ${hashApiKey(apiKey)}`,
          ),
        )
        if (Option.isNone(owner)) return yield* new InvalidApiKey({ reason: "unknown" })
        const { isRevoked, isExpired, isUseOutdated, ...user } = owner.value
        if (isRevoked) return yield* new InvalidApiKey({ reason: "revoked" })
        if (isExpired) return yield* new InvalidApiKey({ reason: "expired" })
        if (isUseOutdated) yield* recordUse(user.keyId)
        return user
      })

      const validOf = Effect.fn("Keys.validOf")((ids: ReadonlyArray<ApiKeyId>) =>
        query(findAll(KeyId, sql`select id from api_keys where ${sql.in("id", ids)} and ${isValid}`)).pipe(
          Effect.map((rows) => new Set(rows.map(({ id }) => id))),
        ),
      )

      const list = Effect.fn("Keys.list")((userId: UserId) =>
        query(
          findAll(
            ApiKey,
            sql`select ${columns} from api_keys
              where user_id = ${userId} order by created_at desc, id desc limit ${maxStored}`,
          ),
        ),
      )

      const create = Effect.fn("Keys.create")((userId: UserId, { name, expiresAt }: KeyDetails) =>
        withLock(userId, add(userId, name ?? defaultKeyName, expiresAt ?? null)),
      )

      const rotate = Effect.fn("Keys.rotate")((userId: UserId, id: ApiKeyId, graceSeconds: number) =>
        withLock(
          userId,
          Effect.gen(function* () {
            const old = yield* findFirst(
              Rotated,
              sql`update api_keys
                set revoked_at = least(revoked_at, now() + make_interval(secs => ${graceSeconds}))
                where id = ${id} and user_id = ${userId} and ${isValid}
                returning name, now() + (expires_at - created_at) as expires_at`,
            )
            if (Option.isNone(old)) return yield* new ApiKeyNotFound()
            return yield* add(userId, old.value.name, old.value.expiresAt)
          }),
        ),
      )

      const revoke = Effect.fn("Keys.revoke")((userId: UserId, id: ApiKeyId) =>
        withLock(
          userId,
          Effect.gen(function* () {
            const key = yield* findFirst(
              Validity,
              sql`select ${isValid} as is_valid from api_keys where id = ${id} and user_id = ${userId}`,
            )
            if (Option.isNone(key)) return yield* new ApiKeyNotFound()
            if (!key.value.isValid) return
            yield* sql`update api_keys set revoked_at = now() where id = ${id}`
            // A rotated key in its grace period ends soon, so it does not count as another key.
            const others = yield* sql`select 1 from api_keys
              where user_id = ${userId} and ${isValid} and revoked_at is null limit 1`
            if (others.length === 0) return yield* new LastApiKey()
          }),
        ),
      )

      const replace = Effect.fn("Keys.replace")((userId: UserId, name: Option.Option<string>) => {
        const isNamed = Option.match(name, { onNone: () => sql`true`, onSome: (name) => sql`name = ${name}` })
        return withLock(
          userId,
          Effect.gen(function* () {
            const ended = yield* sql`update api_keys set revoked_at = now()
              where user_id = ${userId} and ${isValid} and ${isNamed} returning 1`
            if (ended.length === 0 && Option.isSome(name)) return yield* new ApiKeyNotFound()
            return yield* add(
              userId,
              Option.getOrElse(name, () => defaultKeyName),
              null,
            )
          }),
        )
      })

      const withdraw = Effect.fn("Keys.withdraw")(function* (userId: UserId, id: Option.Option<ApiKeyId>) {
        const isChosen = Option.match(id, { onNone: () => sql`true`, onSome: (id) => sql`id = ${id}` })
        const rows = yield* transaction(
          sql,
          sql`update api_keys set revoked_at = now()
            where user_id = ${userId} and ${isValid} and ${isChosen} returning 1`,
        )
        if (rows.length === 0 && Option.isSome(id)) return yield* new ApiKeyNotFound()
        return rows.length
      })

      return { authenticate, validOf, list, create, rotate, revoke, replace, withdraw }
    }),
  )
}
