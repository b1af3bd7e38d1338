import { Option, Schema } from "effect"
import {
  type AgentId,
  type ApiKeyId,
  ItemId,
  SessionId,
  SpeechFormat,
  Timings,
  TurnId,
  Usage,
  type UserId,
} from "../schema.ts"
import type { Bill } from "../usage/bill.ts"
import type { Payer } from "../usage/usage-days.ts"
import type { NewItem } from "./item.ts"

/** An agent that a user defined. */
export interface SessionAgent {
  readonly id: AgentId
  /** None: the newest one, at each turn. */
  readonly version: Option.Option<number>
}

/** The session that a turn belongs to. */
export interface TurnSession {
  readonly id: SessionId
  /** True if the session may have no row yet: it is then created when the turn is saved. */
  readonly isNew: boolean
  /** None, or absent: the agent of the configuration. */
  readonly agent?: Option.Option<SessionAgent>
}

/** The columns `agent_id` and `agent_version` of an agent. */
export const agentColumns = (agent: Option.Option<SessionAgent> = Option.none()) => ({
  agentId: Option.getOrNull(Option.map(agent, ({ id }) => id)),
  agentVersion: Option.getOrNull(Option.flatMap(agent, ({ version }) => version)),
})

/** The agent of such columns. */
export const agentOfColumns = (row: {
  readonly agentId: AgentId | null
  readonly agentVersion: number | null
}): Option.Option<SessionAgent> =>
  Option.map(Option.fromNullable(row.agentId), (id) => ({
    id,
    version: Option.fromNullable(row.agentVersion),
  }))

/** Identifies a repeated request: the client's key, and the SHA-256 of the input in hex. */
export interface Idempotency {
  readonly key: string
  readonly contentHash: string
}

/** A turn at its start. */
export interface NewTurn {
  readonly id: TurnId
  readonly userId: UserId
  readonly session: TurnSession
  readonly idempotency: Option.Option<Idempotency>
  /** True for a turn that adds nothing to the conversation: later turns of the session do not wait for it. */
  readonly isAside: boolean
  /** The agent that answers. Absent: that of the session. */
  readonly agent?: Option.Option<SessionAgent>
  /** The API key of the request. Absent: not known. */
  readonly keyId?: ApiKeyId | undefined
  /** True for an aside that may become a turn of the conversation: it waits for the turns ahead as one. */
  readonly isSpeculative?: boolean
  /** False for a turn that only changes the items of its conversation. Absent: true. */
  readonly hasReply?: boolean
  /** Turns ahead that it does not wait for. */
  readonly besides?: ReadonlyArray<TurnId>
}

export const TurnState = Schema.Literal("running", "completed", "interrupted", "cancelled", "failed")

/** How a turn ended. `failed`: nothing of it is in the history. */
export type TurnEnd = Exclude<typeof TurnState.Type, "running">

/** A turn at its end. The client heard its reply completely or in part. */
export interface EndedTurn {
  readonly id: TurnId
  readonly userId: UserId
  readonly session: TurnSession
  readonly state: Exclude<TurnEnd, "failed">
  /** True: its client got an error, after a part of the reply. Absent: false. */
  readonly isFailure?: boolean
  /** The code of that error. */
  readonly code?: string | undefined
  /** What the turn adds to the conversation, in order. A session is created with its first items only. */
  readonly items: ReadonlyArray<NewItem>
  readonly transcript: string
  /** The whole reply of the model, also if the client heard only a part. */
  readonly response: string
  /** All of the speech, stored for a retry with the same Idempotency-Key. */
  readonly speech: Option.Option<Uint8Array>
  readonly speechFormat: SpeechFormat
  readonly timings: Partial<Timings>
  readonly usage: Usage
  /** Absent: what the usage costs is unknown. */
  readonly bill?: Bill | undefined
}

/** A turn whose client heard nothing. */
export interface FailedTurn extends Pick<EndedTurn, "id" | "timings" | "usage" | "bill"> {
  /** Who pays for what it used, also if it was deleted with its session. Absent: it used nothing. */
  readonly payer?: Payer
  /** The code of the error, for the event of webhooks. Absent: it failed without one. */
  readonly code?: string | undefined
  /** It was refused before anything of it ran, so it has no event. */
  readonly isRefused?: boolean
}

/**
 * A running turn that has to end. `lost`: its lease ran out, so that later turns of the session no longer wait for it.
 * `cancelled`: by its user. `deleted`: with its session or its user.
 */
export interface EndingTurn {
  readonly id: TurnId
  readonly reason: "lost" | "cancelled" | "deleted"
}

/** A turn that was requested with an Idempotency-Key. */
export const KeyedTurn = Schema.Struct({
  id: TurnId,
  contentHash: Schema.String,
  state: TurnState,
  /** True if the state is `running`, but the process of the turn is gone. */
  isDead: Schema.Boolean,
  isExpired: Schema.Boolean,
  /** True if a retry continues it: it ended early, and rounds of it are recorded. */
  hasRounds: Schema.Boolean,
})
export type KeyedTurn = typeof KeyedTurn.Type

/** A completed turn, as a retry with the same Idempotency-Key gets it. */
export const StoredTurn = Schema.Struct({
  id: TurnId,
  sessionId: SessionId,
  transcript: Schema.String,
  response: Schema.String,
  /** The calls that it left to the client, in any order. */
  calls: Schema.Array(
    Schema.Struct({
      itemId: ItemId,
      callId: Schema.String,
      name: Schema.String,
      arguments: Schema.String,
      /** Their order. */
      sequence: Schema.Number,
    }),
  ),
  speech: Schema.Uint8ArrayFromSelf,
  speechFormat: SpeechFormat,
  timings: Timings,
  usage: Usage,
  /** In billionths of the currency. Null: unknown. */
  costNanos: Schema.NullOr(Schema.Number),
  currency: Schema.NullOr(Schema.String),
})
export type StoredTurn = typeof StoredTurn.Type

/** Earlier turns of the session took longer than a turn may wait for them. */
export class SessionBusy extends Schema.TaggedError<SessionBusy>()("SessionBusy", {}) {}

/** An earlier request with this key had another recording or text. */
export class IdempotencyKeyReused extends Schema.TaggedError<IdempotencyKeyReused>()(
  "IdempotencyKeyReused",
  {},
) {}

/** The user cancelled the turn. */
export class TurnCancelled extends Schema.TaggedError<TurnCancelled>()("TurnCancelled", {}) {}

/** The turn's process did not renew its lease in time. Other processes count the turn as dead, so it may not be saved. */
export class TurnLost extends Schema.TaggedError<TurnLost>()("TurnLost", {}) {
  override readonly message = "the turn's lease ran out"
}

/** The turn does not exist or belongs to another user; a caller cannot tell which. */
export class TurnNotFound extends Schema.TaggedError<TurnNotFound>()("TurnNotFound", {}) {}
