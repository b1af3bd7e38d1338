import { Data, type Option } from "effect"
import type { TurnId, UserId } from "../schema.ts"
import type { OutputOptions } from "./events.ts"
import type { Input } from "./input.ts"

/**
 * The session of a turn. `Preferred`: that session if it can be joined, otherwise a new one (also where none is named).
 * `Required`: that session; the turn fails if it cannot be joined.
 */
export type SessionTarget = Data.TaggedEnum<{
  Preferred: { readonly sessionId: Option.Option<string> }
  Required: { readonly sessionId: string }
}>
export const SessionTarget = Data.taggedEnum<SessionTarget>()

/** Everything that a front door (HTTP, the command line) passes to a turn. */
export interface TurnRequest {
  readonly turnId: TurnId
  readonly userId: UserId
  readonly target: SessionTarget
  readonly input: Input
  readonly output: OutputOptions
  /** A repeated request with the same key and input gets the answer of the first. */
  readonly idempotencyKey: Option.Option<string>
  /** From the request's headers to the last byte of the input, in ms. */
  readonly uploadMs: number
}
