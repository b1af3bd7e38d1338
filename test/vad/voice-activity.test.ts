import { expect } from "bun:test"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as BunContext from "@effect/platform-bun/BunContext"
import { ConfigProvider, Effect, HashMap, Layer, Logger } from "effect"
import { Settings } from "../../src/config.ts"
import { VoiceActivity } from "../../src/vad/voice-activity.ts"
import { effectTest } from "../support/effect.ts"

effectTest(
  "what starts with the first client is not logged as that client's",
  Effect.gen(function* () {
    const logged: Array<{ readonly message: string; readonly keys: ReadonlyArray<string> }> = []
    const logger = Logger.make(({ message, annotations }) => {
      logged.push({ message: `${message}`, keys: [...HashMap.keys(annotations)] })
    })
    const env = new Map([
      ["OPENAI_API_KEY", "sk-test"],
      // No model is here, so the loudness alone finds speech.
      ["DATA_DIR", join(tmpdir(), "no-models")],
    ])
    const layer = VoiceActivity.layer.pipe(
      Layer.provide(Settings.layer),
      Layer.provide(BunContext.layer),
      Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(env))),
    )
    yield* Effect.gen(function* () {
      const { open } = yield* VoiceActivity
      for (const sessionId of ["first", "second"])
        yield* Effect.annotateLogs(
          open(() => undefined),
          { sessionId },
        )
    }).pipe(Effect.provide(Layer.provideMerge(layer, Logger.replace(Logger.defaultLogger, logger))))
    expect(logged).toEqual([{ message: "vad.energy", keys: ["hint"] }])
  }),
)
