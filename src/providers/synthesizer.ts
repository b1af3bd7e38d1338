import { Context, Effect, Layer, type Option, type Scope } from "effect"
import type { SpeechOutput } from "../audio/speech-output.ts"
import type { TurnId } from "../schema.ts"
import type { ProviderError } from "./errors.ts"
import { makeScript, wait } from "./fake.ts"
import type { Served } from "./served.ts"
import type { StageStatus } from "./status.ts"

export interface SpeakOptions {
  /** The turn of the request. The circuit breaker counts the failures of one turn together. */
  readonly turnId: TurnId
  readonly model: string
  readonly voice: string
  /** The format in which `OnAudio` gets the audio, whatever the server sends. */
  readonly output: SpeechOutput
  /**
   * Waits until an ffmpeg may convert the speech, which then counts until the end of the scope. Without it, a conversion
   * starts at once. The wait is not the server's silence.
   */
  readonly conversionSlot?: Effect.Effect<void, never, Scope.Scope>
  /** Called with the text of each request to a server: the request to the fallback is paid for too. */
  readonly onRequest?: (served: Served, text: string) => void
  /** Called for a sign of life before the answer: the server refused a field, and is asked without it. */
  readonly onLife?: () => void
  /** Called when the attempt starts to wait for this service, and when that wait ends: see `Attempt`. */
  readonly onPause?: (isPaused: boolean) => void
}

/**
 * Takes a chunk of audio as it arrives; a plain function, since it runs once per chunk. Returns whether the chunk completed
 * audio that can be played. Until the first `true`, the fallback server may be tried, and the time-out is that of the first
 * byte.
 */
export type OnAudio = (audio: Uint8Array) => boolean

/** The speech of one call of the fake: the chunks, then `fail` or the end. */
export interface FakeSpeech {
  readonly chunks?: ReadonlyArray<{ readonly afterMs?: number; readonly bytes: Uint8Array }>
  readonly fail?: ProviderError
}

export interface FakeSpeakCall extends SpeakOptions {
  readonly text: string
}

/** Text to speech. */
export class Synthesizer extends Context.Tag("voice-agent/Synthesizer")<
  Synthesizer,
  {
    /**
     * One try. Calls `open` once for each server that it tries; the result takes the audio of that server. Succeeds once
     * all of it has arrived. The caller retries, because only the caller knows whether the
     * client got a part of the audio: see `retryPolicy`.
     */
    readonly speak: (
      text: string,
      options: SpeakOptions,
      open: () => OnAudio,
    ) => Effect.Effect<void, ProviderError>
    readonly status: Effect.Effect<StageStatus>
    /** The name of the model, or of the offline engine, that serves this stage now. */
    readonly model: Effect.Effect<string>
    /** What would serve this stage better than the offline engine: a sentence for the operator, commands in backticks. */
    readonly advice?: Effect.Effect<Option.Option<string>>
  }
>() {
  /** A fake for tests, and the calls that it gets. Each call takes the next speech; the last speech repeats. */
  static makeFake(speeches: ReadonlyArray<FakeSpeech> = [{ chunks: [{ bytes: new Uint8Array(4800) }] }]) {
    const calls: Array<FakeSpeakCall> = []
    const next = makeScript(speeches)
    const layer = Layer.succeed(Synthesizer, {
      speak: Effect.fnUntraced(function* (text, options, open) {
        calls.push({ ...options, text })
        options.onRequest?.({ model: options.model, isLocal: false }, text)
        const { chunks = [], fail } = next()
        const take = open()
        for (const { afterMs, bytes } of chunks) {
          yield* wait(afterMs)
          take(bytes)
        }
        if (fail !== undefined) return yield* fail
      }),
      status: Effect.succeed("ok" as const),
      model: Effect.succeed("fake"),
    })
    return { layer, calls }
  }

  static layerFake(speeches?: ReadonlyArray<FakeSpeech>) {
    return Layer.suspend(() => Synthesizer.makeFake(speeches).layer)
  }
}
