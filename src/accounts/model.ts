import { Duration, Schema } from "effect"
import { ApiKeyId, Time, UserId } from "../schema.ts"

export const User = Schema.Struct({ id: UserId, email: Schema.String, createdAt: Time })
export type User = typeof User.Type

/** A user, known by one of their keys. */
export const SignedIn = Schema.Struct({ ...User.fields, keyId: ApiKeyId })
export type SignedIn = typeof SignedIn.Type

/** What is shown of a key. */
export const ApiKey = Schema.Struct({
  id: ApiKeyId,
  name: Schema.String,
  prefix: Schema.NullOr(Schema.String).annotations({
    description: "How the key begins; null for one from before that was kept.",
  }),
  createdAt: Time,
  lastUsedAt: Schema.NullOr(Time).annotations({ description: "To the minute." }),
  expiresAt: Schema.NullOr(Time),
  revokedAt: Schema.NullOr(Time).annotations({
    description: "Ahead of now where the key was replaced, and its grace is not over.",
  }),
})
export type ApiKey = typeof ApiKey.Type

/** What a key is called that nobody named; as the schema has it for the keys from before there were names. */
export const unnamed = "API key"

export const KeyName = Schema.Trim.pipe(
  // Characters as PostgreSQL counts them.
  Schema.filter((name) => /^\P{C}+$/u.test(name) && [...name].length <= 100, {
    jsonSchema: { type: "string", minLength: 1, maxLength: 100 },
    message: () => ({
      message: "must be a text of 1 to 100 characters, none of them a control or invisible character",
      override: true,
    }),
  }),
)

/** A day, or a time with its zone, so that no two servers read another one in it. */
const iso8601 = /^(\d{4}-\d\d-\d\d)(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d))?$/

const FutureTime = Schema.String.pipe(
  Schema.filter((text) => {
    const [, day] = iso8601.exec(text) ?? []
    // Some take 30 February for 2 March.
    const isDay =
      !Number.isNaN(Date.parse(day ?? "")) && new Date(`${day}`).toISOString().startsWith(`${day}`)
    return isDay && Date.parse(text) > Date.now()
  }),
  Schema.transform(Schema.DateFromSelf, {
    strict: true,
    decode: (text) => new Date(text),
    encode: (time) => time.toISOString(),
  }),
).annotations({
  message: () => ({
    message: "must be a time to come as ISO 8601, such as 2035-01-31T12:00:00Z",
    override: true,
  }),
  jsonSchema: {
    type: "string",
    description: "A day or a time to come, as ISO 8601.",
    pattern: iso8601.source,
  },
})

/** The body that asks for a key; one without a time to end goes on until it is revoked. */
export const KeyDetails = Schema.Struct({
  name: Schema.optional(Schema.NullOr(KeyName)),
  expiresAt: Schema.optional(Schema.NullOr(FutureTime)),
}).annotations({ message: () => "must be an object" })
export type KeyDetails = typeof KeyDetails.Type

/** Long enough for a deployment that waits for somebody's holiday to end. */
const longestGrace = Duration.days(7)
const longestGraceSeconds = Duration.toSeconds(longestGrace)

/** The body that asks for a key in place of another, which goes on for so many seconds. A form has them as text. */
export const Rotation = Schema.Struct({
  graceSeconds: Schema.optionalWith(
    Schema.Union(Schema.Number, Schema.NumberFromString)
      .pipe(Schema.between(0, longestGraceSeconds))
      .annotations({
        message: () => ({ message: `must be a number from 0 to ${longestGraceSeconds}`, override: true }),
        jsonSchema: {
          type: "number",
          description: "How long the old key goes on.",
          minimum: 0,
          maximum: longestGraceSeconds,
          default: 0,
        },
      }),
    { default: () => 0 },
  ),
}).annotations({ message: () => "must be an object" })

export class EmailTaken extends Schema.TaggedError<EmailTaken>()("EmailTaken", {}) {}

/** No user has this address. */
export class UserNotFound extends Schema.TaggedError<UserNotFound>()("UserNotFound", {}) {}

/** The key opens nothing, or nothing any more. */
export class InvalidApiKey extends Schema.TaggedError<InvalidApiKey>()("InvalidApiKey", {
  reason: Schema.Literal("unknown", "expired", "revoked"),
}) {}

/** No such key of this user, or one that has ended. */
export class ApiKeyNotFound extends Schema.TaggedError<ApiKeyNotFound>()("ApiKeyNotFound", {}) {}

/** Without this key its user could not come in any more. */
export class LastApiKey extends Schema.TaggedError<LastApiKey>()("LastApiKey", {}) {}

/** The user has as many usable keys as there may be. */
export class TooManyApiKeys extends Schema.TaggedError<TooManyApiKeys>()("TooManyApiKeys", {
  most: Schema.Number,
}) {}
