import * as SqlClient from "@effect/sql/SqlClient"
import { Context, Effect, Layer, Option, type Redacted } from "effect"
import type { DatabaseError } from "../db/errors.ts"
import { query, transaction, uninterruptibleWithTimeout } from "../db/postgres.ts"
import { findAll, findFirst } from "../db/rows.ts"
import { ApiKeyId, newId, UserId } from "../schema.ts"
import { makeApiKey } from "./api-key.ts"
import { EmailTaken, UserNotFound } from "./errors.ts"
import { defaultKeyName, LimitedUser, User } from "./model.ts"

/** Sessions per DELETE: with a few thousand messages each, well within the 10 s of a statement. */
const sessionsPerDelete = 20

/** Users per page of `list`. */
const pageSize = 500

export interface NewUser {
  readonly userId: UserId
  readonly keyId: ApiKeyId
  readonly apiKey: Redacted.Redacted
}

export class Users extends Context.Tag("voice-agent/Users")<
  Users,
  {
    /** Creates a user with a first key. `email`: as the Email schema decodes it. */
    readonly register: (email: string) => Effect.Effect<NewUser, EmailTaken | DatabaseError>
    readonly find: (email: string) => Effect.Effect<User, UserNotFound | DatabaseError>
    /** The users with an address after `after`, ordered by address; "" starts the list. Empty at the end. */
    readonly list: (after: string) => Effect.Effect<ReadonlyArray<LimitedUser>, DatabaseError>
    /**
     * Sets what the user's turns may cost in a calendar month, in the currency of PRICES. Infinity: as much as they do. None:
     * as the configuration has it.
     */
    readonly setMonthlyLimit: (
      userId: UserId,
      amount: Option.Option<number>,
    ) => Effect.Effect<void, UserNotFound | DatabaseError>
    /** Deletes a user and everything stored of them. Uninterruptible. May be repeated after a failure. */
    readonly remove: (userId: UserId) => Effect.Effect<void, DatabaseError>
  }
>() {
  static readonly layer = Layer.effect(
    Users,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const columns = sql`id, email, created_at`

      const register = Effect.fn("Users.register")(function* (email: string) {
        const { apiKey, stored } = yield* makeApiKey
        const [userId, keyId] = [newId(UserId), newId(ApiKeyId)]
        const key = { id: keyId, userId, name: defaultKeyName, ...stored }
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
        const user = yield* query(
          findFirst(User, sql`select ${columns} from users where lower(email) = lower(${email})`),
        )
        return yield* Effect.mapError(user, () => new UserNotFound())
      })

      const list = Effect.fn("Users.list")((after: string) =>
        query(
          findAll(
            LimitedUser,
            sql`select ${columns}, amount as monthly_limit from users left join monthly_limits on user_id = id
              where lower(email) > lower(${after}) order by lower(email) limit ${pageSize}`,
          ),
        ),
      )

      const setMonthlyLimit = Effect.fn("Users.setMonthlyLimit")(
        (
          userId: UserId,
          amount: Option.Option<number>,
        ): Effect.Effect<void, UserNotFound | DatabaseError> => {
          const changed = Option.match(amount, {
            onNone: () => sql`delete from monthly_limits where user_id = ${userId}`,
            onSome: (
              value,
            ) => sql`insert into monthly_limits (user_id, amount) values (${userId}, ${value}::float8)
              on conflict (user_id) do update set amount = excluded.amount`,
          })
          return Effect.asVoid(
            Effect.catchTag(query(changed), "ConstraintViolated", () => new UserNotFound()),
          )
        },
      )

      /** In several transactions: deleting years of sessions in one statement could exceed its time limit. */
      const removeSessions = (userId: UserId) =>
        transaction(
          sql,
          sql`delete from sessions
            where id = any(array(select id from sessions where user_id = ${userId} limit ${sessionsPerDelete}))
            returning 1`,
        ).pipe(Effect.repeat({ while: (rows) => rows.length === sessionsPerDelete }))

      const remove = Effect.fn("Users.remove")((userId: UserId) =>
        removeSessions(userId).pipe(
          Effect.zipRight(transaction(sql, sql`delete from users where id = ${userId}`)),
          Effect.asVoid,
          uninterruptibleWithTimeout,
        ),
      )

      return { register, find, list, setMonthlyLimit, remove }
    }),
  )
}
