import { Context, Effect, Layer, type Option } from "effect"
import type { Pcm16k } from "../audio/pcm.ts"
import type { TurnId } from "../schema.ts"
import type { ProviderError } from "./errors.ts"
import { makeScript, wait } from "./fake.ts"
import type { Served } from "./served.ts"
import type { StageStatus } from "./status.ts"

/** The recognizer's answer. An empty `text` means that it heard no speech; that is not a failure. */
export interface Transcript {
  readonly text: string
}

export interface TranscribeOptions {
  /** The turn of the request. The circuit breaker counts the failures of one turn together. */
  readonly turnId: TurnId
  readonly model: string
  /** ISO 639-1. None: the recognizer detects the language. */
  readonly language: Option.Option<string>
  /** Names and terms to expect. A recognizer without a use for them ignores them. */
  readonly keyTerms?: ReadonlyArray<string>
  /** Called for each request to a server: retries and those to the fallback are paid for too. */
  readonly onRequest?: (served: Served) => void
  /** Called for a sign of life before the answer: the server refused a field, and is asked without it. */
  readonly onLife?: () => void
  /** Called when the attempt starts to wait for this service, and when that wait ends: see `Attempt`. */
  readonly onPause?: (isPaused: boolean) => void
}

/**
 * One try on one server. A server that takes a recording in parts calls `onProgress` after each, so that the time limit is
 * that of a part.
 */
export type Transcribe = (
  speech: Pcm16k,
  options: TranscribeOptions,
  onProgress: () => void,
) => Effect.Effect<Transcript, ProviderError>

/** One answer of the fake. */
export interface FakeTranscript {
  readonly afterMs?: number
  readonly text?: string
  readonly fail?: ProviderError
}

export interface FakeTranscribeCall extends TranscribeOptions {
  readonly speech: Pcm16k
}

/** Speech to text. */
export class Transcriber extends Context.Tag("voice-agent/Transcriber")<
  Transcriber,
  {
    /** Retries by itself, because no part of a transcript is used before it is complete. */
    readonly transcribe: (
      speech: Pcm16k,
      options: TranscribeOptions,
    ) => Effect.Effect<Transcript, ProviderError>
    readonly status: Effect.Effect<StageStatus>
    /** The name of the model, or of the offline engine, that serves this stage now. */
    readonly model: Effect.Effect<string>
    /** What would serve this stage better than the offline engine: a sentence for the operator, commands in backticks. */
    readonly advice?: Effect.Effect<Option.Option<string>>
  }
>() {
  /** A fake for tests, and the calls that it gets. Each call takes the next step; the last step repeats. */
  static makeFake(steps: ReadonlyArray<FakeTranscript> = [{}]) {
    const calls: Array<FakeTranscribeCall> = []
    const next = makeScript(steps)
    const layer = Layer.succeed(Transcriber, {
      transcribe: Effect.fnUntraced(function* (speech, options) {
        calls.push({ ...options, speech })
        options.onRequest?.({ model: options.model, isLocal: false })
        const { afterMs, text = "Hello.", fail } = next()
        yield* wait(afterMs)
        return fail === undefined ? { text } : yield* fail
      }),
      status: Effect.succeed("ok" as const),
      model: Effect.succeed("fake"),
    })
    return { layer, calls }
  }

  static layerFake(steps?: ReadonlyArray<FakeTranscript>) {
    return Layer.suspend(() => Transcriber.makeFake(steps).layer)
  }
}
