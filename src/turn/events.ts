import type { Option } from "effect"
import type { BroughtResult, CallResult, RecordedCall } from "../conversation/rounds.ts"
import type { EndReason } from "../providers/language-model.ts"
import type { ToolCall } from "../providers/tools.ts"
import type { ItemId, SessionId, SpeechFormat, Timings, TurnId } from "../schema.ts"
import type { Consumed } from "../usage/bill.ts"

/** A timed part of a turn. `decodingSlot`, `turnOrder`, `conversionSlot` and `tools` are waits; the others do work. */
export type TurnStage =
  | "validate"
  | "decodingSlot"
  | "transcode"
  | "stt"
  | "turnOrder"
  | "history"
  | "llm"
  | "tools"
  | "tts"
  | "conversionSlot"
  | "persist"

/** A description of the input for the log. */
export interface Source {
  readonly bytes: number
  /** The container of a recording, `pcm`, or `text`. */
  readonly type: string
}

/** The form in which a client gets the reply. */
export interface OutputOptions {
  /** `none`: the reply is written, not spoken. */
  readonly format: SpeechFormat
  /** True: the client gets the text of the reply as the model writes it. */
  readonly streamsText: boolean
  /** True: the client gets audio as it arrives. False: all of it at the end. */
  readonly streaming: boolean
}

/**
 * An event of a turn. `seq` is the number of events offered to the client so far, including this one; `at` is in ms since
 * 1970. The client's events end in exactly one way: with Completed, with Interrupted, or with a failure.
 */
export type TurnEvent = { readonly seq: number; readonly at: number } & (
  | {
      readonly _tag: "Started"
      readonly sessionId: SessionId
      readonly turnId: TurnId
      /** Some for a replay with the same Idempotency-Key: the timings of the stages that the saved turn had. */
      readonly replayOf: Option.Option<Partial<Timings>>
    }
  | { readonly _tag: "StageStarted"; readonly stage: TurnStage }
  | { readonly _tag: "StageEnded"; readonly stage: TurnStage; readonly ok: boolean }
  | { readonly _tag: "Heard"; readonly text: string; readonly source: Source }
  /** The results of the client's calls that the turn begins with, in place of words. Without those that are saved. */
  | { readonly _tag: "ResultsBrought"; readonly results: ReadonlyArray<BroughtResult> }
  /**
   * A try of a model round begins; rounds count from 0. With the number of the current round, the text, the calls and the
   * audio of its earlier try are dropped. A client that streams gets the beginnings after the first round.
   */
  | { readonly _tag: "RoundStarted"; readonly round: number; readonly messageId: ItemId }
  /**
   * The text of this try was the model's thinking. It is no part of the reply. It and its audio are dropped unless the client
   * has some of them. The try goes on.
   */
  | { readonly _tag: "Retracted" }
  | { readonly _tag: "TextDelta"; readonly text: string }
  /**
   * The model called a tool, with all arguments. A client runs its own tools, and brings the results to the next turn. A call
   * that the service runs is recorded by now.
   */
  | ({ readonly _tag: "ToolCalled" } & Pick<RecordedCall, "itemId" | "by"> & ToolCall)
  /** A call that the service ran has its result. */
  | ({ readonly _tag: "ToolReturned"; readonly callId: string } & CallResult)
  /** The model's answer is whole. */
  | { readonly _tag: "RoundEnded"; readonly reason: EndReason }
  /** `ms`: the playing time of the bytes. */
  | { readonly _tag: "Audio"; readonly bytes: Uint8Array; readonly ms: number }
  /**
   * All audio up to `text` (UTF-16 units of the text of all rounds) was sent; `ms` is the playing time of all audio by then.
   */
  | { readonly _tag: "SpokenTo"; readonly text: number; readonly ms: number }
  /** Adds to the usage of the turn, and to what it costs. */
  | { readonly _tag: "Used"; readonly consumed: Consumed }
  /** The turn is saved. */
  | { readonly _tag: "Completed" }
  /** The turn was interrupted. */
  | { readonly _tag: "Interrupted" }
)

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never

/** An event before the log has numbered it. */
export type NewTurnEvent = DistributiveOmit<TurnEvent, "seq" | "at">
