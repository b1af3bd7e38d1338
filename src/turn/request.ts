import { Data, Effect, identity, Option } from "effect"
import type { Agent } from "../agent/agent.ts"
import type { NewItem } from "../conversation/item.ts"
import type { SessionBusy, TurnSession } from "../conversation/stored-turn.ts"
import type { DatabaseUnavailable } from "../db/errors.ts"
import type { ApiKeyId, ItemId, TurnId, UserId } from "../schema.ts"
import type { OutputOptions } from "./events.ts"
import type { ConversationInput, Input } from "./input.ts"

/**
 * The session of a turn. `Preferred`: that session if it can be joined, otherwise a new one (also where none is named).
 * `Required`: that session; the turn fails if it cannot be joined. `Joined`: a session that the front door has joined for
 * this user before, and keeps open; it may be new.
 */
export type SessionTarget = Data.TaggedEnum<{
  Preferred: { readonly sessionId: Option.Option<string> }
  Required: { readonly sessionId: string }
  Joined: { readonly session: TurnSession }
}>
export const SessionTarget = Data.taggedEnum<SessionTarget>()

/** Items at the end of the conversation that a front door is still saving. Each is in the session's queue already. */
export interface UnsavedItems {
  readonly items: ReadonlyArray<NewItem>
  /** Waits until they are saved. */
  readonly saved: Effect.Effect<void, SessionBusy | DatabaseUnavailable>
}

/** Everything that a front door (HTTP, the command line) passes to a turn. */
export interface TurnRequest {
  readonly turnId: TurnId
  readonly userId: UserId
  /** The API key of the client. Absent: not known. */
  readonly keyId?: ApiKeyId | undefined
  readonly target: SessionTarget
  /** The user's words, or nothing: the agent then answers the conversation as it stands. */
  readonly input: Input | ConversationInput
  readonly output: OutputOptions
  /** A repeated request with the same key and input gets the answer of the first. */
  readonly idempotencyKey: Option.Option<string>
  /** From the request's headers to the last byte of the input, in ms. */
  readonly uploadMs: number
  /** The agent that the client names for this turn, as it sent it; a new session keeps it. None: that of the session. */
  readonly agentId: Option.Option<string>
  /** Of that agent, unless it is the session's own. None: the newest version. */
  readonly agentVersion: Option.Option<number | "latest">
  /** `greeting`: the agent says its greeting. The model is not asked. */
  readonly reply: "model" | "greeting"
  /** The agent of this turn, made from the one that answers. */
  readonly agent: (ofSession: Agent) => Agent
  /** The conversation that the model sees in place of the session's. It is not shortened. */
  readonly context: Option.Option<ReadonlyArray<NewItem>>
  /** What the turn answers without waiting for its save. The turn itself is saved after it. */
  readonly unsaved: UnsavedItems
  /** The ids of the items that the turn adds, chosen by the front door. */
  readonly itemIds: Option.Option<{ readonly user: ItemId; readonly assistant: ItemId }>
}

/** For a front door whose turns are answered by their session's agent, from its history. */
export const usualTurn = {
  agentId: Option.none<string>(),
  agentVersion: Option.none<number | "latest">(),
  reply: "model",
  agent: identity<Agent>,
  context: Option.none(),
  unsaved: { items: [], saved: Effect.void },
  itemIds: Option.none(),
} satisfies Partial<TurnRequest>
