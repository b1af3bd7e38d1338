import type { Duration, Either, Option } from "effect"
import type { SessionAgent } from "../conversation/stored-turn.ts"
import type { ToolOffer } from "../providers/tools.ts"
import type { RunnableTool } from "../tools/runnable.ts"
import type { MetadataMissing } from "./errors.ts"

/** The part of a session's history that the model sees: the newest whole turns within both limits. */
export interface HistoryLimits {
  readonly maxItems: number
  /** Estimated. */
  readonly maxTokens: number
}

/** The assistant that answers a turn. Resolved once per turn and passed to each stage; no stage reads global settings. */
export interface Agent {
  /** The stored agent, with its version, that this is made from. None: the agent of the configuration. */
  readonly origin: Option.Option<SessionAgent>
  /** The system prompt. Empty: none is sent. */
  readonly instructions: string
  /** What it says first in a new conversation. None: it waits for the user. Left: it cannot be said in this session. */
  readonly greeting: Option.Option<Either.Either<string, MetadataMissing>>
  readonly hearing: {
    readonly model: string
    /** ISO 639-1. None: the recognizer detects the language. */
    readonly language: Option.Option<string>
    /** A recording with no 60 ms above this level is rejected as silent, in dB below full scale; 0 disables the check. */
    readonly silenceDbfs: number
    readonly maxSeconds: number
    /** Names and terms that the recognizer should expect. */
    readonly keyTerms: ReadonlyArray<string>
  }
  readonly thinking: {
    readonly model: string
    /** None: the server's own. */
    readonly temperature: Option.Option<number>
    /** The limit of a reply. None: the server's own. */
    readonly maxTokens: Option.Option<number>
  }
  /** The tools that the client runs. */
  readonly calling: ToolOffer
  /** The tools that the service runs. One of the client's with the same name takes the place of one of these. */
  readonly acting: {
    readonly tools: ReadonlyArray<RunnableTool>
    /** Rounds of the model in one turn. The last one is offered no tools. */
    readonly maxRounds: number
    /** Of one call. A tool may have less. */
    readonly timeout: Duration.Duration
    /** What is said after a silence of `after` while tools run. None: nothing. */
    readonly filler: {
      readonly after: Option.Option<Duration.Duration>
      /** None: a usual one in the language of the conversation. */
      readonly sentence: Option.Option<string>
    }
  }
  readonly speaking: {
    readonly model: string
    readonly voice: string
    /** The most characters of one request. None: as the segments are. */
    readonly maxCharacters: Option.Option<number>
  }
  readonly history: HistoryLimits & {
    /** True: a history beyond the limits is summarized. */
    readonly isSummarized: boolean
  }
  /** From the end of the upload to the first audio, or to the first text of a reply that is not spoken. */
  readonly firstOutputTimeout: Duration.Duration
}
