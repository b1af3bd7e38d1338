import { Schema } from "effect"
import { ItemId, SessionId, Time, TurnId, UserId } from "../schema.ts"

/** Why PostgreSQL could not keep a text; undefined where it can. */
export const storable = (text: string) => {
  if (text.includes("\0")) return "must not contain a NUL character"
  return text.isWellFormed() ? undefined : "must not contain half a character (a lone surrogate)"
}

const flawWithin = (value: unknown): string | undefined => {
  if (typeof value === "string") return storable(value)
  // 1e400 is read as infinite, and would be kept as null.
  if (typeof value === "number" && !Number.isFinite(value)) return "must not contain a number over 1.8e308"
  if (typeof value !== "object" || value === null) return undefined
  for (const [name, each] of Object.entries(value)) {
    const found = storable(name) ?? flawWithin(each)
    if (found !== undefined) return found
  }
  return undefined
}

const Title = Schema.String.annotations({ message: () => "must be a text or null" }).pipe(
  // Characters as PostgreSQL counts them.
  Schema.filter((text) => [...text].length <= 200 || "must have at most 200 characters", {
    jsonSchema: { maxLength: 200 },
  }),
  Schema.filter(storable),
)

/** Taken as it is: a Record would be copied, and lose a member by the name of `__proto__`. */
const JsonObject = Schema.declare(
  (value): value is Readonly<Record<string, unknown>> =>
    typeof value === "object" && value !== null && !Array.isArray(value),
  { message: () => "must be an object", jsonSchema: { type: "object" } },
)

/** As JSON, in characters: a list has up to 100 of them, and PostgreSQL may write a number as 309 digits. */
const metadataLength = 16_384

const Metadata = JsonObject.pipe(
  Schema.filter(flawWithin),
  Schema.filter((value) => JSON.stringify(value).length <= metadataLength, {
    message: () => "must have at most 16 KB as JSON",
  }),
)

export const Session = Schema.Struct({
  id: SessionId,
  userId: UserId,
  title: Schema.NullOr(Schema.String),
  metadata: JsonObject,
  createdAt: Time,
  lastActivityAt: Time,
  expired: Schema.Boolean.annotations({
    description: "Idle for longer than SESSION_TIMEOUT_MINUTES: readable, but no turn joins it any more.",
  }),
})
export type Session = typeof Session.Type

/** What a client says of a session: `metadata` is kept as a whole, and replaced as a whole; a null title clears it. */
export const SessionDetails = Schema.Struct({
  title: Schema.optional(Schema.NullOr(Title)),
  metadata: Schema.optional(Metadata),
}).annotations({ message: () => "must be an object" })
export type SessionDetails = typeof SessionDetails.Type

export const Role = Schema.Literal("user", "assistant", "system")

export const Message = Schema.Struct({
  id: ItemId,
  turnId: TurnId,
  role: Role,
  content: Schema.String,
  interrupted: Schema.Boolean.annotations({ description: "The listener heard a part of it only." }),
  createdAt: Time,
})
export type Message = typeof Message.Type

/** No such session, or another user's: a caller can't tell which. */
export class SessionNotFound extends Schema.TaggedError<SessionNotFound>()("SessionNotFound", {}) {}

/** It was idle for longer than SESSION_TIMEOUT_MINUTES. */
export class SessionExpired extends Schema.TaggedError<SessionExpired>()("SessionExpired", {}) {}

/** A cursor or message id that this list did not give out. */
export class UnknownPosition extends Schema.TaggedError<UnknownPosition>()("UnknownPosition", {
  field: Schema.String,
}) {}
