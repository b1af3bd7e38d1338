import { Context, Deferred, Effect, Either, Layer, type Scope } from "effect"
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

/**
 * Runs an effect when its result is first asked for, in a fiber of the layer: its logs and spans are not those of the
 * client that asked first.
 */
const onFirstUse = <A, R>(effect: Effect.Effect<A, never, R>) =>
  Effect.gen(function* () {
    const isWanted = yield* Deferred.make<void>()
    const result = yield* Deferred.make<A>()
    yield* Effect.forkScoped(Effect.zipRight(Deferred.await(isWanted), Effect.intoDeferred(effect, result)))
    return { get: Effect.zipRight(Deferred.succeed(isWanted, undefined), Deferred.await(result)) }
  })

/** The process of Silero takes 80 MB, so it starts with the first stream. */
const makeSilero = Effect.fnUntraced(function* (options: EngineOptions) {
  let isUsable = () => true
  const started = yield* onFirstUse(
    Effect.gen(function* () {
      const engine = yield* makeEngine(options)
      isUsable = engine.isUsable
      return yield* makeStreams(engine)
    }),
  )
  const open: Open = (on) => Effect.flatMap(started.get, (openStream) => openStream(on))
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
      const warning = yield* onFirstUse(
        Effect.annotateLogs(Effect.logWarning("vad.energy"), { hint: silero.left }),
      )
      const open: Open = (on) => Effect.zipRight(warning.get, openWithEnergy(on))
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
