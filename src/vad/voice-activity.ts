import { Context, Effect, Either, Layer, Scope } from "effect"
import { Settings } from "../config.ts"
import { libraryOf } from "../models/store.ts"
import { type EngineOptions, makeEngine } from "../providers/offline/engine/supervisor.ts"
import { levelOf, makeEnergyDetector } from "./energy.ts"
import { makeFramer } from "./frame.ts"
import { findSilero } from "./silero/engine.ts"
import { makeStreams } from "./streams.ts"

/** The audio of one client. */
export interface VoiceStream {
  /** Takes 16 kHz mono samples, and copies them. Never waits. */
  readonly push: (samples: Int16Array) => void
  /** Forgets all earlier samples. Those without a probability get none. The next frame begins with the next sample. */
  readonly reset: () => void
}

/** What finds speech in audio: Silero, or the loudness alone where Silero cannot run. */
type VoiceEngine = "silero" | "energy"

type Open = (on: (probability: number) => void) => Effect.Effect<VoiceStream, never, Scope.Scope>

const openWithEnergy: Open = (on) =>
  Effect.sync(() => {
    const detect = makeEnergyDetector()
    return makeFramer((frame) => on(detect(levelOf(frame))))
  })

/** The process of Silero takes 80 MB, so it starts with the first stream. */
const makeSilero = Effect.fnUntraced(function* (options: EngineOptions) {
  const scope = yield* Effect.scope
  const start = Effect.gen(function* () {
    const engine = yield* makeEngine(options)
    return { engine, open: yield* makeStreams(engine) }
  })
  let isUsable = () => true
  const started = yield* Effect.cached(
    Effect.tap(Scope.extend(start, scope), ({ engine }) => {
      isUsable = engine.isUsable
    }),
  )
  const open: Open = (on) => Effect.flatMap(started, (silero) => silero.open(on))
  return { open, engine: Effect.sync((): VoiceEngine => (isUsable() ? "silero" : "energy")) }
})

/** Voice activity detection: one detector for all streams. */
export class VoiceActivity extends Context.Tag("voice-agent/VoiceActivity")<
  VoiceActivity,
  {
    /**
     * Opens a stream until the scope closes. `on` is called with the probability of speech, from 0 to 1, of each frame of
     * 512 samples (32 ms), in order.
     */
    readonly open: Open
    /** What finds speech now. */
    readonly engine: Effect.Effect<VoiceEngine>
  }
>() {
  static readonly layer = Layer.scoped(
    VoiceActivity,
    Effect.gen(function* () {
      const { dataDir } = yield* Settings
      const silero = yield* findSilero(libraryOf(dataDir))
      if (Either.isRight(silero)) return yield* makeSilero(silero.right)
      const warnOnce = yield* Effect.cached(
        Effect.annotateLogs(Effect.logWarning("vad.energy"), { hint: silero.left }),
      )
      const open: Open = (on) => Effect.zipRight(warnOnce, openWithEnergy(on))
      return { open, engine: Effect.succeed("energy" as const) }
    }),
  )

  /** A fake for tests, which answers at once: the probability is the highest sample of the frame, in parts of 32,767. */
  static readonly layerFake = Layer.succeed(VoiceActivity, {
    open: (on) =>
      Effect.sync(() =>
        makeFramer((frame) => on(frame.reduce((most, each) => Math.max(most, each), 0) / 32_767)),
      ),
    engine: Effect.succeed("silero" as const),
  })
}
