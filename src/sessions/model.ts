import { Schema } from "effect"

/** PostgreSQL keeps no NUL in text, so one is refused where it comes in. */
const storable = (text: string) => !text.includes("\0")

const Title = Schema.String.pipe(
  Schema.maxLength(200, { message: () => "must have at most 200 characters" }),
  Schema.filter(storable, { message: () => "must not contain a NUL character" }),
)

const Metadata = Schema.Record({ key: Schema.String, value: Schema.Unknown }).pipe(
  Schema.filter((value) => !JSON.stringify(value).includes("\\u0000"), {
    message: () => "must not contain a NUL character",
  }),
)

export const Session = Schema.Struct({
  id: Schema.UUID,
  userId: Schema.UUID,
  title: Schema.NullOr(Schema.String),
  metadata: Schema.Record({ key: Schema.String, value: Schema.Unknown }),
  createdAt: Schema.Date,
  lastActivityAt: Schema.Date,
  /** Idle for longer than SESSION_TIMEOUT_MINUTES: readable, but no turn joins it any more. */
  expired: Schema.Boolean,
})
export type Session = typeof Session.Type

/** What a client says of a session: `metadata` is kept as a whole, and replaced as a whole; a null title clears it. */
export const SessionDetails = Schema.Struct({
  title: Schema.optional(Schema.NullOr(Title)),
  metadata: Schema.optional(Metadata),
})
export type SessionDetails = typeof SessionDetails.Type

export const Role = Schema.Literal("user", "assistant", "system")

export const Message = Schema.Struct({
  id: Schema.UUID,
  turnId: Schema.UUID,
  role: Role,
  content: Schema.String,
  /** The listener heard a part of it only. */
  interrupted: Schema.Boolean,
  createdAt: Schema.Date,
})
export type Message = typeof Message.Type

/** No such session, or another user's: a caller can't tell which. */
export class SessionNotFound extends Schema.TaggedError<SessionNotFound>()("SessionNotFound", {}) {}

/** A cursor or message id that this list did not give out. */
export class UnknownPosition extends Schema.TaggedError<UnknownPosition>()("UnknownPosition", {
  field: Schema.String,
}) {}
