import { Schema } from "effect"
import { Memory } from "../accounts/memories.ts"
import { ApiKey, ClientSecret, Secret } from "../accounts/model.ts"
import { AgentId, ApiKeyId, ItemId, SessionId, Time, TurnId, UserId } from "../schema.ts"
import { Delivery, Webhook } from "../webhooks/model.ts"
import { ItemPayload } from "./item.ts"
import { Message, Session } from "./model.ts"

export const ExportedSession = Session.pick(
  "id",
  "title",
  "metadata",
  "agentId",
  "agentVersion",
  "createdAt",
  "lastActivityAt",
)

/** A version of an agent. Unchecked, as an earlier version of the service may have written it. */
export const ExportedAgent = Schema.Struct({
  id: AgentId,
  version: Schema.Int,
  definition: Schema.Unknown,
  createdAt: Time,
})

/** Without the audio that is kept for 24 h for idempotent retries. */
export const ExportedTurn = Schema.Struct({
  id: TurnId,
  sessionId: SessionId,
  state: Schema.String,
  /** The agent that answered, if it was one of the user's. Turns of earlier versions of the service may have no version. */
  agentId: Schema.NullOr(AgentId),
  agentVersion: Schema.NullOr(Schema.Int),
  transcript: Schema.NullOr(Schema.String),
  /** As the model wrote it. The messages hold the part that was heard. */
  response: Schema.NullOr(Schema.String),
  // Unchecked: a shape that an earlier version wrote must not fail the export.
  timings: Schema.Unknown,
  usage: Schema.Unknown,
  /** What answered, and what each model used. */
  models: Schema.Unknown,
  /** As it was priced when the turn ran. Null: unknown. */
  cost: Schema.NullOr(Schema.Number),
  currency: Schema.NullOr(Schema.String),
  keyId: Schema.NullOr(ApiKeyId),
  /** What a turn that did not complete had written and called, as long as a retry may ask for it. */
  rounds: Schema.Array(
    Schema.Struct({
      transcript: Schema.NullOr(Schema.String),
      /** What the client brought of the calls of the turn before. */
      results: Schema.Array(Schema.Struct({ callId: Schema.String, output: Schema.String })),
      text: Schema.String,
      calls: Schema.Array(
        Schema.Struct({
          name: Schema.String,
          arguments: Schema.String,
          output: Schema.NullOr(Schema.String),
        }),
      ),
    }),
  ),
  createdAt: Time,
  endedAt: Schema.NullOr(Time),
})

/** The sums of a day. They outlive its turns. */
export const ExportedUsage = Schema.Struct({
  day: Schema.String,
  agentId: Schema.NullOr(AgentId),
  keyId: Schema.NullOr(ApiKeyId),
  currency: Schema.NullOr(Schema.String),
  turns: Schema.Number,
  unpriced: Schema.Number,
  audioSeconds: Schema.Number,
  inputTokens: Schema.Number,
  outputTokens: Schema.Number,
  charactersSpoken: Schema.Number,
  cost: Schema.Number,
})

/** An item of another type than `message`: what the agent called, what came back, and summaries. */
export const ExportedItem = Schema.Struct({
  id: ItemId,
  turnId: TurnId,
  payload: ItemPayload,
  createdAt: Time,
})

export const ExportedDelivery = Schema.Struct({ webhookId: Schema.UUID, ...Delivery.fields })

export const MonthlyLimit = Schema.Union(Schema.Number, Schema.Literal("none", "default"))

/** The exported document. */
export const Exported = Schema.Struct({
  exportedAt: Time,
  user: Schema.Struct({
    userId: UserId,
    email: Schema.String,
    createdAt: Time,
    /** In the currency of the configuration. `default`: that of the configuration. */
    monthlyLimit: MonthlyLimit,
  }),
  keys: Schema.Array(ApiKey),
  memories: Schema.Array(Memory),
  /** Without their values. */
  secrets: Schema.Array(Secret),
  clientSecrets: Schema.Array(ClientSecret),
  /** All versions that are kept. */
  agents: Schema.Array(ExportedAgent),
  /** Without their secrets. */
  webhooks: Schema.Array(Webhook),
  webhookDeliveries: Schema.Array(ExportedDelivery),
  sessions: Schema.Array(
    Schema.Struct({
      ...ExportedSession.fields,
      messages: Schema.Array(Message),
      items: Schema.Array(ExportedItem),
    }),
  ),
  turns: Schema.Array(ExportedTurn),
  usage: Schema.Array(ExportedUsage),
})
