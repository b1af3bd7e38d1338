import { Schema } from "effect"
import { ItemId, JsonObject, SessionId, ShownAgentId, Time, TurnId, UserId } from "../schema.ts"
import { Role } from "./item.ts"

/** Why PostgreSQL cannot store a text; undefined if it can. */
export const storable = (text: string) => {
  if (text.includes("\0")) return "must not contain a NUL character"
  return text.isWellFormed() ? undefined : "must not contain half a character (a lone surrogate)"
}

/** The same of a JSON value, with all texts and names in it. */
export const flawWithin = (value: unknown): string | undefined => {
  if (typeof value === "string") return storable(value)
  // JSON.parse reads 1e400 as infinity, and JSON.stringify writes that as null.
  if (typeof value === "number" && !Number.isFinite(value)) return "must not contain a number over 1.8e308"
  if (typeof value !== "object" || value === null) return undefined
  for (const [name, each] of Object.entries(value)) {
    const found = storable(name) ?? flawWithin(each)
    if (found !== undefined) return found
  }
  return undefined
}

const Title = Schema.String.annotations({ message: () => "must be a string or null" }).pipe(
  // Characters as PostgreSQL counts them. Each has one or two units: a MB of them is not counted.
  Schema.filter(
    (text) => (text.length <= 400 && [...text].length <= 200) || "must have at most 200 characters",
    {
      jsonSchema: { maxLength: 200 },
    },
  ),
  Schema.filter(storable),
)

/** In characters of JSON. Bounds a list of 100 sessions; PostgreSQL may expand a number to 309 digits. */
const maxMetadataLength = 16_384

const Metadata = JsonObject.pipe(
  Schema.filter(flawWithin),
  Schema.filter((value) => JSON.stringify(value).length <= maxMetadataLength, {
    message: () => "must have at most 16 KB as JSON",
  }),
)

export const Session = Schema.Struct({
  id: SessionId,
  userId: UserId,
  title: Schema.NullOr(Schema.String),
  metadata: JsonObject,
  agentId: ShownAgentId.annotations({
    description: "The agent that answers. `default` is that of the operator.",
  }),
  agentVersion: Schema.NullOr(Schema.Union(Schema.Int, Schema.Literal("latest"))).annotations({
    description:
      "The agent's version. `latest`: the newest one, at each turn. Null for the operator's agent.",
  }),
  createdAt: Time,
  lastActivityAt: Time,
  expired: Schema.Boolean.annotations({
    description:
      "True after SESSION_TIMEOUT_MINUTES without activity. An expired session can be read, but not continued.",
  }),
})
export type Session = typeof Session.Type

/** What a client can set on a session. `metadata` replaces all earlier metadata; a null title removes the title. */
export const SessionDetails = Schema.Struct({
  title: Schema.optional(
    Schema.NullOr(Title).annotations({ description: "At most 200 characters. Null removes the title." }),
  ),
  metadata: Schema.optional(Metadata.annotations({ description: "Replaces the whole metadata." })),
  agentId: Schema.optional(
    Schema.String.annotations({
      message: () => "must be the id of an agent, or default",
      description: "The agent that answers: one of yours, or `default` for that of the operator.",
    }),
  ),
  agentVersion: Schema.optional(
    Schema.Union(Schema.Literal("latest"), Schema.Int.pipe(Schema.between(1, 2_147_483_647))).annotations({
      message: () => ({ message: "must be the number of a version, or latest", override: true }),
      description:
        "A version of that agent, or `latest` for the newest one at each turn. The version that is the newest now by default.",
    }),
  ),
}).annotations({ message: () => "must be an object" })
export type SessionDetails = typeof SessionDetails.Type

/** An item of type `message`, as the API returns it. */
export const Message = Schema.Struct({
  id: ItemId,
  turnId: TurnId,
  role: Role,
  content: Schema.String,
  interrupted: Schema.Boolean.annotations({ description: "True if the client heard only a part of it." }),
  createdAt: Time,
})
export type Message = typeof Message.Type

/** The session does not exist or belongs to another user; a caller cannot tell which. */
export class SessionNotFound extends Schema.TaggedError<SessionNotFound>()("SessionNotFound", {}) {}

/** The session had no activity for longer than SESSION_TIMEOUT_MINUTES. */
export class SessionExpired extends Schema.TaggedError<SessionExpired>()("SessionExpired", {}) {}

/** The item does not exist, belongs to another user, or is not an assistant message; a caller cannot tell which. */
export class ItemNotFound extends Schema.TaggedError<ItemNotFound>()("ItemNotFound", {}) {}
