/** Hearing with a recognizer whose engine does not run. */
import { describe, expect } from "bun:test"
import * as BunFileSystem from "@effect/platform-bun/BunFileSystem"
import { Effect, Either, Fiber, Option, TestClock } from "effect"
import { pcm16k } from "../../../src/audio/pcm.ts"
import { EngineFailed } from "../../../src/providers/offline/engine/requests.ts"
import { makeHearing } from "../../../src/providers/offline/hearing.ts"
import { newId, TurnId } from "../../../src/schema.ts"
import { effectTest } from "../../support/effect.ts"
import { makeFakeProcess } from "./engine/fake-process.ts"

const loud = pcm16k(
  new Uint8Array(Int16Array.from({ length: 16_000 }, (_, at) => 8000 * Math.sin(at / 5)).buffer),
)

/** What comes of a second of sound, after the engine has failed twice. */
const hearWithout = (searchPath: string, language: Option.Option<string>) =>
  Effect.gen(function* () {
    const { engine, status, transcribe } = yield* makeHearing({
      searchPath,
      takeSlot: Effect.void,
      recognizer: Option.some({
        name: "ears",
        languages: ["en", "de"],
        voices: [],
        engine: {
          name: "ears",
          check: new EngineFailed({ reason: "damaged" }),
          start: () => makeFakeProcess().process,
          loader: "moonshine",
          files: {},
        },
      }),
    })
    const options = { turnId: newId(TurnId), model: "any", language }
    const heard = yield* Effect.fork(Effect.either(transcribe(loud, options, () => undefined)))
    expect(status()).toBe("ok")
    yield* TestClock.adjust("200 millis")
    return { engine: engine(), status: status(), result: yield* Fiber.join(heard) }
  }).pipe(Effect.provide(BunFileSystem.layer))

describe("a recognizer that failed", () => {
  effectTest(
    "without pocketsphinx is an error, and no words of the user",
    Effect.gen(function* () {
      for (const language of [Option.none(), Option.some("en"), Option.some("en-GB")]) {
        const { engine, status, result } = yield* hearWithout("/nowhere", language)
        expect([engine, status]).toEqual(["none", "failing"])
        expect(Either.flip(result).pipe(Either.getOrThrow)).toMatchObject({
          _tag: "ProviderUnusable",
          stage: "stt",
          kind: "no-recognizer",
          reason: "engine: failed, and pocketsphinx is not installed",
        })
      }
    }),
  )

  effectTest(
    "in a language that pocketsphinx does not know is an error",
    Effect.gen(function* () {
      const { engine, status, result } = yield* hearWithout(process.env.PATH ?? "", Option.some("de"))
      expect([engine, status]).toEqual(["pocketsphinx", "degraded"])
      expect(Either.flip(result).pipe(Either.getOrThrow)).toMatchObject({
        stage: "stt",
        reason: 'engine: failed, and pocketsphinx does not know the language "de"',
      })
    }),
  )
})
