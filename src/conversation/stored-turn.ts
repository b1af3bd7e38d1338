import { type Option, Schema } from "effect"
import { SpeechFormat, Timings, Usage } from "../schema.ts"

/** The session that a turn belongs to. The row of a new one is stored together with the turn. */
export interface TurnSession {
  readonly id: string
  /** Whether its row may have to be made. */
  readonly isNew: boolean
}

/** What makes a repeated request the same: the client's key, and the SHA-256 of what was said, in hex. */
export interface Idempotency {
  readonly key: string
  readonly contentHash: string
}

/** A turn that begins. */
export interface NewTurn {
  readonly id: string
  readonly userId: string
  readonly session: TurnSession
  readonly idempotency: Option.Option<Idempotency>
}

/** A turn that was heard, whole or in part. */
export interface HeardTurn {
  readonly id: string
  readonly userId: string
  readonly session: TurnSession
  readonly state: "completed" | "interrupted" | "cancelled"
  readonly transcript: string
  /** As the model wrote it. */
  readonly response: string
  /** What was heard of it; all of it where the turn is completed. */
  readonly heard: string
  /** All of the speech, for a retry; None where there can be none. */
  readonly speech: Option.Option<Uint8Array>
  readonly speechFormat: SpeechFormat
  readonly timings: Partial<Timings>
  readonly usage: Usage
}

/** A completed turn, as a retry of it is answered. */
export const StoredTurn = Schema.Struct({
  id: Schema.UUID,
  sessionId: Schema.UUID,
  transcript: Schema.String,
  response: Schema.String,
  speech: Schema.Uint8ArrayFromSelf,
  speechFormat: SpeechFormat,
  timings: Timings,
  usage: Usage,
})
export type StoredTurn = typeof StoredTurn.Type

/** Earlier turns of the session took longer than a turn may wait for them. */
export class SessionBusy extends Schema.TaggedError<SessionBusy>()("SessionBusy", {}) {}

/** The client's key came with another recording or text before. */
export class IdempotencyKeyReused extends Schema.TaggedError<IdempotencyKeyReused>()(
  "IdempotencyKeyReused",
  {},
) {}

/** Its user asked for its end. */
export class TurnCancelled extends Schema.TaggedError<TurnCancelled>()("TurnCancelled", {}) {}

/** Its process could not reach the database for a whole lease: others count it as dead, and it may not be saved. */
export class TurnLost extends Schema.TaggedError<TurnLost>()("TurnLost", {}) {
  override readonly message = "the turn's lease ran out"
}

/** No such turn, or another user's: a caller can't tell which. */
export class TurnNotFound extends Schema.TaggedError<TurnNotFound>()("TurnNotFound", {}) {}
