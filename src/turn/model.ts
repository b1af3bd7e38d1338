import { Data, type Option, Schema } from "effect"

/** An upload as it lies in the turn's own folder, which goes with the turn. */
export interface Upload {
  /** Absolute. */
  readonly folder: string
  readonly path: string
  readonly bytes: number
  /** From the request's headers to its last byte. */
  readonly uploadMs: number
}

/** What the speech is delivered as: one continuous MP3, or 24 kHz mono 16-bit little-endian samples. */
export type SpeechFormat = "mp3" | "pcm"

export interface TurnInput {
  readonly turnId: string
  readonly userId: string
  /** The session asked for. */
  readonly sessionId: Option.Option<string>
  readonly upload: Upload
  readonly format: SpeechFormat
  /** Whether the reply's text is wanted as it is written. */
  readonly wantsText: boolean
}

const Milliseconds = Schema.NonNegativeInt

/**
 * Milliseconds. `upload`: from the request's headers to the end of its body. `validate`, `transcode`, `stt`: what the
 * stage took. `llmTtft`: from asking the model to its first token. `ttsTtfb`: from asking for the first piece's
 * speech to its first byte. `firstAudio`, `total`: from the end of the upload.
 */
export const Timings = Schema.Struct({
  upload: Milliseconds,
  validate: Milliseconds,
  transcode: Milliseconds,
  stt: Milliseconds,
  llmTtft: Milliseconds,
  ttsTtfb: Milliseconds,
  firstAudio: Milliseconds,
  total: Milliseconds,
})
export type Timings = typeof Timings.Type

/** What the turn consumed. Tokens as the provider counts them, else estimated at 4 characters a token. */
export const Usage = Schema.Struct({
  audioSeconds: Schema.Number,
  inputTokens: Schema.NonNegativeInt,
  outputTokens: Schema.NonNegativeInt,
  charactersSpoken: Schema.NonNegativeInt,
})
export type Usage = typeof Usage.Type

/** A turn as it happens. `Completed` is the last, and means that the turn is saved. */
export type TurnEvent = Data.TaggedEnum<{
  Started: { readonly sessionId: string; readonly turnId: string }
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
