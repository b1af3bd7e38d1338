/** The recognizer behind the port, with the default settings of the service. */
import { describe, expect, test } from "bun:test"
import { join } from "node:path"
import * as BunContext from "@effect/platform-bun/BunContext"
import { ConfigProvider, Effect, Either, Fiber, Layer, Logger, LogLevel, Option } from "effect"
import { pcm16k } from "../../../src/audio/pcm.ts"
import { Settings } from "../../../src/config.ts"
import { Ffmpeg } from "../../../src/ffmpeg/ffmpeg.ts"
import * as Providers from "../../../src/providers/layer.ts"
import { Lessons } from "../../../src/providers/lessons.ts"
import { Transcriber } from "../../../src/providers/transcriber.ts"
import { newId, TurnId } from "../../../src/schema.ts"
import { ffmpeg } from "../../support/ffmpeg.ts"
import { hasRecognizer } from "../../support/offline-models.ts"
import { childPids } from "./engines.ts"

const root = join(import.meta.dir, "../../..")

const environment = ConfigProvider.fromMap(
  new Map(
    Object.entries({
      DATA_DIR: join(root, ".data"),
      DATABASE_URL: "postgres://nobody:none@127.0.0.1:1/none",
      OFFLINE_ENGINES: "on",
      OLLAMA: "off",
    }),
  ),
)
const layer = Providers.layer.pipe(
  Layer.provideMerge(Lessons.layerMemory),
  Layer.provideMerge(Ffmpeg.layer),
  Layer.provideMerge(Settings.layer),
  Layer.provideMerge(BunContext.layer),
  Layer.provide(Layer.setConfigProvider(environment)),
)

const question = async () =>
  pcm16k(
    await ffmpeg([
      ...["-i", join(root, "examples/question.wav")],
      ...["-ac", "1", "-ar", "16000", "-f", "s16le", "pipe:1"],
    ]),
  )

describe.skipIf(!hasRecognizer)("a killed engine", () => {
  test("with 12 turns in it: all turns are heard", async () => {
    const speech = await question()
    const main = Effect.gen(function* () {
      const transcriber = yield* Transcriber
      const hear = Effect.suspend(() =>
        transcriber.transcribe(speech, {
          turnId: newId(TurnId),
          model: "whisper-1",
          language: Option.some("en"),
        }),
      )
      yield* hear
      const turns = yield* Effect.fork(
        Effect.forEach(Array.from({ length: 12 }), () => Effect.either(hear), { concurrency: "unbounded" }),
      )
      yield* Effect.sleep("150 millis")
      const [pid = ""] = yield* Effect.promise(() => childPids(1))
      process.kill(Number(pid), "SIGKILL")
      const heard = yield* Fiber.join(turns)
      expect(heard.filter(Either.isRight).length).toBe(12)
      expect(yield* transcriber.status).toBe("ok")
    })
    await main.pipe(
      Effect.provide(layer),
      Effect.scoped,
      Logger.withMinimumLogLevel(LogLevel.None),
      Effect.runPromise,
    )
  })
})
