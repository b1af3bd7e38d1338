import type { Effect } from "effect"
import type { TurnDetection } from "./turn-detection.ts"
import type { HeardText, HearError } from "./utterance.ts"

/** What a listener hears. Times are milliseconds of audio since the socket opened. */
export type HeardEvent =
  /** Speech began. During a reply it is held back until the speech counts as an interruption, which it is then. */
  | { readonly _tag: "SpeechStarted"; readonly startMs: number; readonly isInterruption: boolean }
  | { readonly _tag: "SpeechStopped"; readonly endMs: number }
  /** An utterance is over. `transcript` can be run any number of times; the transcription goes on without it. */
  | {
      readonly _tag: "Committed"
      readonly startMs: number
      readonly endMs: number
      /** What ended it. `limit`: it has the longest duration. */
      readonly by: "client" | "turn_detection" | "limit"
      readonly transcript: Effect.Effect<HeardText, HearError>
    }
  /** All words of announced speech that are certain so far. */
  | { readonly _tag: "Words"; readonly text: string }
  /** A pause in announced speech, whose words so far may be all of it. */
  | { readonly _tag: "MaybeOver"; readonly text: string }
  /** The speech goes on after a pause. */
  | { readonly _tag: "Resumed" }

/** Detects utterances in the audio of one connection. Every method returns at once. */
export interface Listener {
  /** Takes 16 kHz mono samples. */
  readonly append: (samples: Int16Array) => void
  /** Ends the utterance here. `empty`: there are less than 100 ms of audio, and nothing happens. */
  readonly commit: () => "committed" | "empty"
  /** Forgets all audio that is not committed. */
  readonly clear: () => void
  /** Null: utterances end by `commit` alone. */
  readonly configure: (turnDetection: TurnDetection | null) => void
  /** Whether the client plays a reply now: until it ends, speech is held back until it counts as an interruption. */
  readonly replying: (state: { readonly isPlaying: boolean }) => void
}
