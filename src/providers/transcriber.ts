import { Context, type Effect, type Option } from "effect"
import type { Pcm16k } from "../audio/pcm.ts"
import type { TurnId } from "../schema.ts"
import type { ProviderError } from "./errors.ts"

/** What the recognizer understood. `text` is empty where it heard no speech: that is an answer, not a failure. */
export interface Transcript {
  readonly text: string
}

export interface TranscribeOptions {
  /** The turn that asks. The circuit breaker counts the failures of one turn together. */
  readonly turnId: TurnId
  readonly model: string
  /** ISO 639-1. None: the recognizer detects the language. */
  readonly language: Option.Option<string>
}

/** Speech to text. */
export class Transcriber extends Context.Tag("voice-agent/Transcriber")<
  Transcriber,
  {
    readonly transcribe: (
      speech: Pcm16k,
      options: TranscribeOptions,
    ) => Effect.Effect<Transcript, ProviderError>
    /** True while the circuit breaker keeps requests from every server of this stage. */
    readonly isDown: Effect.Effect<boolean>
  }
>() {}
