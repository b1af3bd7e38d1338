import * as SqlClient from "@effect/sql/SqlClient"
import { Array as Arr, Context, Effect, Layer, type Redacted, Schema } from "effect"
import type { DatabaseError } from "../db/errors.ts"
import { query, transaction, undisturbed } from "../db/postgres.ts"
import { makeApiKey } from "./api-key.ts"
import { EmailTaken, User, UserNotFound, unnamed } from "./model.ts"

/** Sessions that are deleted at once: with a few thousand messages each, well within the time that a statement has. */
const sessionsAtOnce = 20

/** Users in a page of `list`. */
const pageSize = 500

/** Who uses the service. */
export class Users extends Context.Tag("Users")<
  Users,
  {
    /** Makes a user, with a first key. `email`: as the Email schema gives it. */
    readonly register: (
      email: string,
    ) => Effect.Effect<
      { readonly userId: string; readonly keyId: string; readonly apiKey: Redacted.Redacted },
      EmailTaken | DatabaseError
    >
    readonly find: (email: string) => Effect.Effect<User, UserNotFound | DatabaseError>
    /** The users whose addresses come after this one ("" for the first), in their order; none at the end. */
    readonly list: (after: string) => Effect.Effect<ReadonlyArray<User>, DatabaseError>
    /** With all that there is of them. Not to be interrupted; once begun and failed, to be asked for again. */
    readonly remove: (userId: string) => Effect.Effect<void, DatabaseError>
  }
>() {
  static readonly layer = Layer.effect(
    Users,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const decode = (rows: unknown) =>
        Effect.orDie(Schema.decodeUnknown(Schema.Array(Schema.typeSchema(User)))(rows))

      const register = Effect.fn("Users.register")(function* (email: string) {
        const { apiKey, traces } = yield* makeApiKey
        const [userId, keyId] = [crypto.randomUUID(), crypto.randomUUID()]
        const key = { id: keyId, userId, name: unnamed, ...traces }
        const both = Effect.zipRight(
          sql`insert into users ${sql.insert({ id: userId, email })}`,
          sql`insert into api_keys ${sql.insert(key)}`,
        )
        yield* transaction(sql, both).pipe(
          Effect.mapError((error) =>
            error._tag === "ConstraintViolated" && error.constraint === "users_email_key"
              ? new EmailTaken()
              : error,
          ),
        )
        return { userId, keyId, apiKey }
      })

      const find = Effect.fn("Users.find")(function* (email: string) {
        const rows = yield* query(
          sql`select id, email, created_at from users where lower(email) = lower(${email})`,
        )
        return yield* Effect.mapError(Arr.head(yield* decode(rows)), () => new UserNotFound())
      })

      const list = Effect.fn("Users.list")(function* (after: string) {
        const rows = yield* query(sql`select id, email, created_at from users
          where lower(email) > lower(${after}) order by lower(email) limit ${pageSize}`)
        return yield* decode(rows)
      })

      /** Not in one statement with the user: what somebody said in years may take longer than one may. */
      const removeSessions = (userId: string) =>
        transaction(
          sql,
          sql`delete from sessions
            where id = any(array(select id from sessions where user_id = ${userId} limit ${sessionsAtOnce})) returning 1`,
        ).pipe(Effect.repeat({ while: (rows) => rows.length === sessionsAtOnce }))

      const remove = Effect.fn("Users.remove")((userId: string) =>
        removeSessions(userId).pipe(
          Effect.zipRight(transaction(sql, sql`delete from users where id = ${userId}`)),
          Effect.asVoid,
          undisturbed,
        ),
      )

      return { register, find, list, remove }
    }),
  )
}
