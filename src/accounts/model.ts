import { Duration, Schema } from "effect"
import { AgentId, ApiKeyId, iso8601, isTime, Time, UserId } from "../schema.ts"

export const User = Schema.Struct({ id: UserId, email: Schema.String, createdAt: Time })
export type User = typeof User.Type

/** `monthlyLimit`: in the currency of PRICES. Null: that of the configuration; Infinity: none. */
export const LimitedUser = Schema.Struct({ ...User.fields, monthlyLimit: Schema.NullOr(Schema.Number) })
export type LimitedUser = typeof LimitedUser.Type

/** A user, and the key of the request. */
export const SignedIn = Schema.Struct({ ...User.fields, keyId: ApiKeyId })
export type SignedIn = typeof SignedIn.Type

/** An API key as its owner sees it, without the key itself. */
export const ApiKey = Schema.Struct({
  id: ApiKeyId,
  name: Schema.String,
  prefix: Schema.NullOr(Schema.String).annotations({
    description: "The first characters of the key. Null for a key from before version 0.1.",
  }),
  createdAt: Time,
  lastUsedAt: Schema.NullOr(Time).annotations({ description: "To the minute." }),
  expiresAt: Schema.NullOr(Time),
  revokedAt: Schema.NullOr(Time).annotations({
    description: "In the future while a rotated key is in its grace period.",
  }),
})
export type ApiKey = typeof ApiKey.Type

/** A client secret as its owner sees it, without the secret itself. */
export const ClientSecret = Schema.Struct({
  id: Schema.UUID,
  createdAt: Time,
  expiresAt: Time,
  session: Schema.Unknown.annotations({ description: "The session configuration that it is bound to." }),
  agentId: Schema.NullOr(AgentId).annotations({
    description: "The agent of the sessions that it opens. Null: that of the operator.",
  }),
})
export type ClientSecret = typeof ClientSecret.Type

/** A secret of tools as its owner sees it, without its value. */
export const Secret = Schema.Struct({ name: Schema.String, createdAt: Time, updatedAt: Time })
export type Secret = typeof Secret.Type

/** As tools refer to it: `{{secret:NAME}}`. */
export const SecretName = Schema.String.pipe(
  Schema.pattern(/^[A-Za-z][A-Za-z0-9_-]{0,63}$/, {
    message: () => "must have 1 to 64 letters, digits, _ or -, and begin with a letter",
  }),
)

const secretValue = "must be a string of 1 to 4096 characters, without control characters"

/** The body of a request that stores a secret. No header can have control characters. */
export const SecretValue = Schema.Struct({
  value: Schema.String.pipe(
    Schema.filter((value) => /^[^\p{Cc}\p{Cs}]{1,4096}$/u.test(value), {
      jsonSchema: { type: "string", minLength: 1, maxLength: 4096 },
    }),
  ).annotations({ message: () => ({ message: secretValue, override: true }) }),
}).annotations({ message: () => "must be an object" })

/** The same as the column's default in migrations/. */
export const defaultKeyName = "API key"

export const KeyName = Schema.Trim.pipe(
  // Counts code points, as PostgreSQL does.
  Schema.filter((name) => /^\P{C}+$/u.test(name) && [...name].length <= 100, {
    jsonSchema: { type: "string", minLength: 1, maxLength: 100 },
    message: () => ({
      message: "must be a string of 1 to 100 characters, without control or invisible characters",
      override: true,
    }),
  }),
)

const FutureTime = Schema.String.pipe(
  Schema.filter((text) => isTime(text) && Date.parse(text) > Date.now()),
  Schema.transform(Schema.DateFromSelf, {
    strict: true,
    decode: (text) => new Date(text),
    encode: (time) => time.toISOString(),
  }),
).annotations({
  message: () => ({
    message: "must be a future time in ISO 8601, such as 2035-01-31T12:00:00Z",
    override: true,
  }),
  jsonSchema: {
    type: "string",
    description: "A day or a time in the future, in ISO 8601.",
    pattern: iso8601.source,
  },
})

/** The body of a request for a new key. A key without `expiresAt` is valid until it is revoked. */
export const KeyDetails = Schema.Struct({
  name: Schema.optional(Schema.NullOr(KeyName)),
  expiresAt: Schema.optional(Schema.NullOr(FutureTime)),
}).annotations({ message: () => "must be an object" })
export type KeyDetails = typeof KeyDetails.Type

const maxGraceSeconds = Duration.toSeconds(Duration.days(7))

/**
 * The body of a rotation. `graceSeconds`: how long the old one stays valid; `byDefault` without it. A form sends it as text.
 */
export const rotationOf = (old: string, byDefault: number) =>
  Schema.Struct({
    graceSeconds: Schema.optionalWith(
      Schema.Union(Schema.Number, Schema.NumberFromString)
        .pipe(Schema.between(0, maxGraceSeconds))
        .annotations({
          message: () => ({ message: `must be a number from 0 to ${maxGraceSeconds}`, override: true }),
          jsonSchema: {
            type: "number",
            description: `How long the old ${old} stays valid, in seconds.`,
            minimum: 0,
            maximum: maxGraceSeconds,
            default: byDefault,
          },
        }),
      { default: () => byDefault },
    ),
  }).annotations({ message: () => "must be an object" })

export const KeyRotation = rotationOf("key", 0)
