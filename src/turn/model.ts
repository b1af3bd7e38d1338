import { Data, type Option } from "effect"
import type { AudioFile } from "../audio/container.ts"
import type { SpeechFormat, Timings, TurnId, Usage, UserId } from "../schema.ts"

/** An upload in the turn's own folder, which is removed with the turn. */
export interface Upload extends AudioFile {
  /** In hex. */
  readonly sha256: string
}

/** What the user says: a recording, or a text that needs no hearing. */
export type Saying = Data.TaggedEnum<{
  Recording: { readonly upload: Upload }
  Text: { readonly text: string }
}>
export const Saying = Data.taggedEnum<Saying>()

/**
 * Where a turn goes on. `Asked`: the session asked for, and a new one where that can't be joined. `Given`: that session
 * and no other.
 */
export type Whereto = Data.TaggedEnum<{
  Asked: { readonly sessionId: Option.Option<string> }
  Given: { readonly sessionId: string }
}>
export const Whereto = Data.taggedEnum<Whereto>()

/** How a turn is listened to. */
export interface Listening {
  readonly format: SpeechFormat
  /** Whether the reply's text is wanted as it is written. */
  readonly wantsText: boolean
  /** Whether audio is heard as it comes; else all of it is kept until the end, so that a turn cut short is not heard. */
  readonly isLive: boolean
}

export interface TurnInput {
  readonly turnId: TurnId
  readonly userId: UserId
  readonly whereto: Whereto
  /** With it, a repeated request gets the first one's answer. */
  readonly idempotencyKey: Option.Option<string>
  readonly saying: Saying
  /** From the request's headers to its last byte. */
  readonly uploadMs: number
  readonly listening: Listening
}

/**
 * A turn as it happens. `Timed` says, right before the transcript and right before the first audio, what took how long
 * so far. `Completed` is the last, and means that the turn is saved.
 */
export type TurnEvent = Data.TaggedEnum<{
  /** `isReplay`: an earlier request with the same Idempotency-Key took this turn. */
  Started: { readonly sessionId: string; readonly turnId: string; readonly isReplay: boolean }
  Timed: { readonly timings: Partial<Timings> }
  Transcript: { readonly text: string }
  ReplyDelta: { readonly text: string }
  Audio: { readonly bytes: Uint8Array }
  Completed: {
    readonly transcript: string
    readonly response: string
    readonly timings: Timings
    readonly usage: Usage
  }
}>
export const TurnEvent = Data.taggedEnum<TurnEvent>()
