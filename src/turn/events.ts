import type { Option } from "effect"
import type { SessionId, SpeechFormat, Timings, TurnId, Usage } from "../schema.ts"

/** A part of a turn that is timed. `decodingSlot` and `turnOrder` are waits; the others do work. */
export type TurnStage =
  | "validate"
  | "decodingSlot"
  | "transcode"
  | "stt"
  | "turnOrder"
  | "history"
  | "llm"
  | "tts"
  | "persist"

/** What the input was, for the log. */
export interface Source {
  readonly bytes: number
  /** The container of a recording, `pcm`, or `text`. */
  readonly type: string
}

/** How a turn's client wants the reply. */
export interface OutputOptions {
  /** `none`: the reply is written, not spoken. */
  readonly format: SpeechFormat
  /** True where the client gets the reply's text as the model writes it. */
  readonly streamsText: boolean
  /** True where the client gets audio as it is made; otherwise all of it at the end. */
  readonly streaming: boolean
}

/**
 * What happens in a turn. `seq` counts the events that were offered to the client, up to and including this one; `at` is
 * in ms since 1970. The last event of a turn is Completed or Interrupted, or its stream fails: exactly one of the three.
 */
export type TurnEvent = { readonly seq: number; readonly at: number } & (
  | {
      readonly _tag: "Started"
      readonly sessionId: SessionId
      readonly turnId: TurnId
      /** The times of the first run, where this is its replay for the same Idempotency-Key. */
      readonly replayOf: Option.Option<Timings>
    }
  | { readonly _tag: "StageStarted"; readonly stage: TurnStage }
  | { readonly _tag: "StageEnded"; readonly stage: TurnStage; readonly ok: boolean }
  | { readonly _tag: "Heard"; readonly text: string; readonly source: Source }
  /** A try of a model round begins: what an earlier try of it wrote and spoke is dropped. */
  | { readonly _tag: "RoundStarted" }
  | { readonly _tag: "TextDelta"; readonly text: string }
  /** `ms`: the playing time of the bytes. */
  | { readonly _tag: "Audio"; readonly bytes: Uint8Array; readonly ms: number }
  /** All audio of the reply up to `text` (UTF-16 units) was sent; `ms` is the playing time of all audio by then. */
  | { readonly _tag: "SpokenTo"; readonly text: number; readonly ms: number }
  /** More was consumed. */
  | { readonly _tag: "Used"; readonly usage: Partial<Usage> }
  /** The turn is saved. */
  | { readonly _tag: "Completed" }
  /** The turn was interrupted, and what the client heard of it is saved. */
  | { readonly _tag: "Interrupted" }
)

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never

/** An event before the log has numbered it. */
export type NewTurnEvent = DistributiveOmit<TurnEvent, "seq" | "at">
