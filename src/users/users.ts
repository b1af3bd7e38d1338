import * as SqlClient from "@effect/sql/SqlClient"
import { Array as Arr, Context, Effect, Layer, Redacted, Schema } from "effect"
import type { DatabaseError } from "../db/errors.ts"
import { query, transaction } from "../db/postgres.ts"

/** A name, an @ and a domain of two labels or more; without space, control, invisible and half characters. */
const emailPattern = /^[^\s\p{C}@"(),:;<>[\\\]]+@[^\s\p{C}@"(),:;<>[\\\].]+(\.[^\s\p{C}@"(),:;<>[\\\].]+)+$/u

/** In characters, as PostgreSQL counts them. */
const isAtMost = (most: number) => (text: string) => [...text].length <= most

const Email = Schema.Trim.pipe(
  Schema.pattern(emailPattern),
  Schema.filter(isAtMost(255), {
    jsonSchema: { maxLength: 255 },
    message: () => ({ message: "must be an e-mail address of at most 255 characters", override: true }),
  }),
)

/** The body of a registration. */
export const Registration = Schema.Struct({ email: Email }).annotations({
  message: () => "must be an object",
})

export const User = Schema.Struct({ id: Schema.UUID, email: Schema.String })
export type User = typeof User.Type

export class EmailTaken extends Schema.TaggedError<EmailTaken>()("EmailTaken", {}) {}

export class InvalidApiKey extends Schema.TaggedError<InvalidApiKey>()("InvalidApiKey", {}) {}

/** `sk_` and 32 random bytes in hex. */
const makeApiKey = Effect.sync(() =>
  Redacted.make(`sk_${Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex")}`),
)

/**
 * SHA-256 in hex. A key has 256 random bits, so a slow hash would add nothing; and as it is the hash that is looked
 * up, the look-up's time tells nothing of the key.
 */
const hashApiKey = (apiKey: Redacted.Redacted) =>
  new Bun.CryptoHasher("sha256").update(Redacted.value(apiKey)).digest("hex")

/** Who uses the service, and by which key they are known. */
export class Users extends Context.Tag("Users")<
  Users,
  {
    /** Makes a user and the one key that is ever shown of it. */
    readonly register: (
      email: string,
    ) => Effect.Effect<
      { readonly userId: string; readonly apiKey: Redacted.Redacted },
      EmailTaken | DatabaseError
    >
    /** The same work whatever the key looks like: one hash, one look-up. */
    readonly authenticate: (apiKey: Redacted.Redacted) => Effect.Effect<User, InvalidApiKey | DatabaseError>
  }
>() {
  static readonly layer = Layer.effect(
    Users,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const decode = Schema.decodeUnknown(Schema.Array(User))

      const register = Effect.fn("Users.register")(function* (email: string) {
        const apiKey = yield* makeApiKey
        const userId = crypto.randomUUID()
        const row = { id: userId, email, apiKeyHash: hashApiKey(apiKey) }
        yield* transaction(sql, sql`insert into users ${sql.insert(row)}`).pipe(
          Effect.mapError((error) =>
            error._tag === "ConstraintViolated" && error.constraint === "users_email_key"
              ? new EmailTaken()
              : error,
          ),
        )
        return { userId, apiKey }
      })

      const authenticate = Effect.fn("Users.authenticate")(function* (apiKey: Redacted.Redacted) {
        const rows = yield* query(sql`select id, email from users where api_key_hash = ${hashApiKey(apiKey)}`)
        const users = yield* Effect.orDie(decode(rows))
        return yield* Effect.mapError(Arr.head(users), () => new InvalidApiKey())
      })

      return { register, authenticate }
    }),
  )
}
