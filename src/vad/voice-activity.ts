import { Context, Effect, Layer, type Scope } from "effect"
import { makeEnergyDetector } from "./energy.ts"
import { makeFramer } from "./frame.ts"

/** The audio of one client. */
export interface VoiceStream {
  /** Takes 16 kHz mono samples, and copies them. Never waits. */
  readonly push: (samples: Int16Array) => void
  /** Forgets all earlier samples. Those without a probability get none. The next frame begins with the next sample. */
  readonly reset: () => void
}

/** What finds speech in audio: Silero, or the loudness alone where Silero cannot run. */
export type VoiceEngine = "silero" | "energy"

/** Voice activity detection: one detector for all streams. */
export class VoiceActivity extends Context.Tag("voice-agent/VoiceActivity")<
  VoiceActivity,
  {
    /**
     * Opens a stream until the scope closes. `on` is called with the probability of speech, from 0 to 1, of each frame of
     * 512 samples (32 ms), in order.
     */
    readonly open: (on: (probability: number) => void) => Effect.Effect<VoiceStream, never, Scope.Scope>
    /** What finds speech now. */
    readonly engine: Effect.Effect<VoiceEngine>
  }
>() {
  static readonly layer: Layer.Layer<VoiceActivity> = Layer.succeed(VoiceActivity, {
    open: (on) =>
      Effect.sync(() => {
        const detect = makeEnergyDetector()
        return makeFramer((frame) => on(detect(frame)))
      }),
    engine: Effect.succeed("energy" as const),
  })

  /** A fake for tests, which answers at once: the probability is the highest sample of the frame, in parts of 32,767. */
  static readonly layerFake: Layer.Layer<VoiceActivity> = Layer.succeed(VoiceActivity, {
    open: (on) =>
      Effect.sync(() =>
        makeFramer((frame) => on(frame.reduce((most, each) => Math.max(most, each), 0) / 32_767)),
      ),
    engine: Effect.succeed("silero" as const),
  })
}
