import { Record, Schema } from "effect"
import { ItemId, newId, Time, TurnId, Usage } from "../schema.ts"
import { toStorable } from "../text/well-formed.ts"

export const Role = Schema.Literal("user", "assistant", "system")

/** What an item contains, tagged by `type`. */
export const ItemPayload = Schema.Union(
  /** An assistant's `text` is what the client heard of it. */
  Schema.Struct({ type: Schema.Literal("message"), role: Role, text: Schema.String }),
  /** `arguments` is the text that the model wrote; it may be invalid JSON. Without `runBy`, the client runs the tool. */
  Schema.Struct({
    type: Schema.Literal("tool_call"),
    callId: Schema.String,
    name: Schema.String,
    arguments: Schema.String,
    runBy: Schema.optionalWith(Schema.Literal("service"), { exact: true }),
  }),
  Schema.Struct({ type: Schema.Literal("tool_result"), callId: Schema.String, output: Schema.String }),
  /** Replaces the items before it in the model's prompt. `usage`: what it cost. */
  Schema.Struct({
    type: Schema.Literal("summary"),
    text: Schema.String,
    usage: Schema.optionalWith(Usage.pick("inputTokens", "outputTokens"), { exact: true }),
  }),
)
export type ItemPayload = typeof ItemPayload.Type

/** One entry of a conversation, as a turn adds it. */
export const NewItem = Schema.Struct({
  /** Chosen by the turn, so that a client can refer to an item before it is saved. */
  id: ItemId,
  payload: ItemPayload,
  /** True if the client heard only a part of it. */
  interrupted: Schema.Boolean,
  /** Milliseconds of audio that the client heard; null for an item without audio. */
  heardMs: Schema.NullOr(Schema.NonNegativeInt),
  /** The key of a recording that is stored elsewhere. */
  audioKey: Schema.NullOr(Schema.String),
  /** The id by which a client of the Realtime API calls the item; null for one that has only `id`. */
  clientId: Schema.NullOr(Schema.String),
})
export type NewItem = typeof NewItem.Type

/** One entry of a conversation. Items are in the order in which they were saved, except for inserted ones. */
export const Item = Schema.Struct({ ...NewItem.fields, turnId: TurnId, createdAt: Time })
export type Item = typeof Item.Type

/** A new item with a new id: complete and without audio unless `details` says otherwise. */
export const newItem = (
  payload: ItemPayload,
  details: Partial<Pick<NewItem, "interrupted" | "heardMs" | "audioKey" | "clientId">> = {},
): NewItem => ({
  id: newId(ItemId),
  payload,
  interrupted: false,
  heardMs: null,
  audioKey: null,
  clientId: null,
  ...details,
})

/** The fields of a payload with storable texts. */
export const toStorableFields = (fields: Readonly<Record<string, unknown>>) =>
  Record.map(fields, (value) => (typeof value === "string" ? toStorable(value) : value))
