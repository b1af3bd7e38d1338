import * as SqlClient from "@effect/sql/SqlClient"
import { Context, Effect, Layer, Option, type Redacted, Schema } from "effect"
import { Encryption, type EncryptionUnavailable, readAndRenew } from "../db/encryption.ts"
import type { DatabaseError } from "../db/errors.ts"
import { query, transaction } from "../db/postgres.ts"
import { findAll, findFirst } from "../db/rows.ts"
import type { UserId } from "../schema.ts"
import { SecretNotFound, TooManySecrets } from "./errors.ts"
import { Secret } from "./model.ts"

/** Secrets per user, so that the list needs no pages. */
const maxStored = 100

const Stored = Schema.Struct({ value: Schema.String })
const Written = Schema.Struct({ ...Secret.fields, isNew: Schema.Boolean })

/** Binds a value to its row: it cannot be decrypted in the place of another user's. */
const contextOf = (userId: UserId, name: string) => `secret ${userId} ${name}`

/** The secrets of users' tools. */
export class Secrets extends Context.Tag("voice-agent/Secrets")<
  Secrets,
  {
    /** Creates a secret, or replaces its value. */
    readonly put: (
      userId: UserId,
      name: string,
      value: Redacted.Redacted,
    ) => Effect.Effect<typeof Written.Type, TooManySecrets | EncryptionUnavailable | DatabaseError>
    /** Without their values, by name. */
    readonly list: (userId: UserId) => Effect.Effect<ReadonlyArray<Secret>, DatabaseError>
    readonly remove: (userId: UserId, name: string) => Effect.Effect<void, SecretNotFound | DatabaseError>
    /** None if there is no such secret, or if its key is lost; the log says which. Stores it with the newest key. */
    readonly read: (
      userId: UserId,
      name: string,
    ) => Effect.Effect<Option.Option<Redacted.Redacted>, EncryptionUnavailable | DatabaseError>
  }
>() {
  static readonly layer = Layer.effect(
    Secrets,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const encryption = yield* Encryption
      const columns = sql`name, created_at, updated_at`

      const put = Effect.fn("Secrets.put")(function* (
        userId: UserId,
        name: string,
        value: Redacted.Redacted,
      ) {
        const stored = yield* encryption.encrypt(value, contextOf(userId, name))
        const all = Effect.gen(function* () {
          // Two requests at once must not pass the limit together.
          yield* sql`select 1 from users where id = ${userId} for no key update`
          return yield* findFirst(
            Written,
            sql`insert into secrets (user_id, name, value)
              select ${userId}, ${name}, ${stored}
              where exists (select 1 from secrets where user_id = ${userId} and name = ${name})
                or (select count(*) from secrets where user_id = ${userId}) < ${maxStored}
              on conflict (user_id, name) do update set value = excluded.value, updated_at = now()
              returning ${columns}, xmax = 0 as is_new`,
          )
        })
        const written = yield* transaction(sql, all)
        return yield* Effect.mapError(written, () => new TooManySecrets({ max: maxStored }))
      })

      const list = Effect.fn("Secrets.list")((userId: UserId) =>
        query(findAll(Secret, sql`select ${columns} from secrets where user_id = ${userId} order by name`)),
      )

      const remove = Effect.fn("Secrets.remove")(function* (userId: UserId, name: string) {
        const removed = yield* transaction(
          sql,
          sql`delete from secrets where user_id = ${userId} and name = ${name} returning 1`,
        )
        if (removed.length === 0) return yield* new SecretNotFound()
      })

      const read = Effect.fn("Secrets.read")(function* (userId: UserId, name: string) {
        const found = yield* query(
          findFirst(Stored, sql`select value from secrets where user_id = ${userId} and name = ${name}`),
        )
        if (Option.isNone(found)) return Option.none()
        const { value: stored } = found.value
        // A value that was replaced meanwhile stays.
        const renew = (renewed: string) =>
          transaction(
            sql,
            sql`update secrets set value = ${renewed}
              where user_id = ${userId} and name = ${name} and value = ${stored}`,
          )
        return yield* readAndRenew(encryption, { stored, context: contextOf(userId, name) }, renew).pipe(
          Effect.asSome,
          Effect.catchTag("NotDecryptable", () => Effect.succeedNone),
        )
      })

      return { put, list, remove, read }
    }),
  )
}
