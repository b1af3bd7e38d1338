/** A request that waits for others, or for a model that loads, is not a request to a silent provider. */
import { describe, expect } from "bun:test"
import * as BunFileSystem from "@effect/platform-bun/BunFileSystem"
import { Duration, Effect, Fiber, Option, TestClock } from "effect"
import { pcm16k } from "../../../src/audio/pcm.ts"
import { makeSpeechOutput } from "../../../src/audio/speech-output.ts"
import { makeStartFfmpeg } from "../../../src/ffmpeg/sandbox.ts"
import { makeHearing } from "../../../src/providers/offline/hearing.ts"
import type { ModelEngine } from "../../../src/providers/offline/model-engine.ts"
import { makeSpeaking } from "../../../src/providers/offline/speaking.ts"
import { withTimeout } from "../../../src/providers/timeout.ts"
import { newId, TurnId } from "../../../src/schema.ts"
import { effectTest } from "../../support/effect.ts"
import { until } from "../../support/turns.ts"
import { type FakeProcess, makeFakeProcess } from "./engine/fake-process.ts"

const timeout = Duration.seconds(30)
const ignore = () => undefined
const common = () => ({ turnId: newId(TurnId), model: "any" })
const awaitUntil = (holds: () => boolean, what: string) => Effect.promise(() => until(holds, what))

/** A recognizer in a scripted process, and its port behind a time-out of 30 s. */
const makeEars = Effect.fnUntraced(function* (loads: boolean) {
  const fake: FakeProcess = makeFakeProcess({ loads })
  const model: ModelEngine = {
    name: "ears",
    languages: ["en"],
    voices: [],
    engine: { name: "ears", check: Effect.void, start: () => fake.process, loader: "moonshine", files: {} },
  }
  const { transcribe } = yield* makeHearing({
    searchPath: "/nowhere",
    takeSlot: Effect.void,
    recognizer: Option.some(model),
  })
  const hear = (bytes = new Uint8Array(32_000)) =>
    withTimeout(
      "stt",
      timeout,
    )((onProgress, _, onPause) =>
      transcribe(pcm16k(bytes), { ...common(), language: Option.none(), onPause }, onProgress),
    )(ignore, ignore, ignore)
  const runs = () => fake.sent.filter(({ kind }) => kind === "run")
  const answer = (id: number) => fake.write({ kind: "done", id, bytes: new TextEncoder().encode(`${id}`) })
  return { fake, hear, runs, answer }
})

describe("hearing", () => {
  effectTest(
    "waits for a model that loads",
    Effect.gen(function* () {
      const { fake, hear, runs, answer } = yield* makeEars(false)
      const heard = yield* Effect.fork(hear())
      yield* awaitUntil(() => fake.sent.length === 1, "the load")
      yield* TestClock.adjust("50 seconds")
      fake.write({ kind: "done", id: fake.sent[0]?.id ?? 0 })
      yield* awaitUntil(() => runs().length === 1, "the run")
      answer(runs()[0]?.id ?? 0)
      expect(yield* Fiber.join(heard)).toMatchObject({ text: expect.any(String) })
    }).pipe(Effect.scoped, Effect.provide(BunFileSystem.layer)),
  )

  effectTest(
    "waits while the engine hears others, and for its memory",
    Effect.gen(function* () {
      const { fake, hear, runs, answer } = yield* makeEars(true)
      // Of three, one fits the process at a time.
      const large = new Uint8Array(20 * 1024 ** 2)
      const all = yield* Effect.fork(
        Effect.forEach([1, 2, 3], () => hear(large), { concurrency: "unbounded" }),
      )
      for (const turn of [1, 2, 3]) {
        yield* awaitUntil(() => runs().length === turn, `run ${turn}`)
        const id = runs().at(-1)?.id ?? 0
        for (let part = 0; part < 4; part++) {
          yield* TestClock.adjust("15 seconds")
          fake.write({ kind: "progress", id })
          yield* Effect.promise(() => Bun.sleep(5))
        }
        answer(id)
      }
      expect((yield* Fiber.join(all)).length).toBe(3)
    }).pipe(Effect.scoped, Effect.provide(BunFileSystem.layer)),
  )

  effectTest(
    "does not wait for an engine that is stuck",
    Effect.gen(function* () {
      const { fake, hear, runs } = yield* makeEars(true)
      const heard = yield* Effect.fork(Effect.flip(hear()))
      yield* awaitUntil(() => runs().length === 1, "the run")
      yield* TestClock.adjust("27 seconds")
      expect(yield* Fiber.join(heard)).toMatchObject({ reason: "engine: did not answer", retryable: true })
      expect(fake.isDead()).toBe(true)
    }).pipe(Effect.scoped, Effect.provide(BunFileSystem.layer)),
  )
})

describe("a program", () => {
  effectTest(
    "waits for its slot",
    Effect.gen(function* () {
      const slots = yield* Effect.makeSemaphore(1)
      const takeSlot = Effect.zipRight(
        slots.take(1),
        Effect.addFinalizer(() => slots.release(1)),
      )
      const { speak } = yield* makeSpeaking({
        startFfmpeg: makeStartFfmpeg("ffmpeg"),
        searchPath: process.env.PATH ?? "",
        takeSlot,
        voice: Option.none(),
        wish: { model: "any", language: Option.none() },
      })
      const { transcribe } = yield* makeHearing({
        searchPath: process.env.PATH ?? "",
        takeSlot,
        recognizer: Option.none(),
      })
      yield* slots.take(1)
      const chunks: Array<Uint8Array> = []
      const spoken = yield* Effect.fork(
        withTimeout(
          "tts",
          timeout,
        )((onProgress, _, onPause) =>
          speak(
            "Hello there.",
            { ...common(), voice: "alloy", output: makeSpeechOutput("pcm"), onPause },
            () => (bytes) => {
              onProgress()
              return chunks.push(bytes) > 0
            },
          ),
        )(ignore, ignore, ignore),
      )
      const heard = yield* Effect.fork(
        withTimeout(
          "stt",
          timeout,
        )((onProgress, _, onPause) =>
          transcribe(
            pcm16k(new Uint8Array(32_000).fill(90)),
            { ...common(), language: Option.none(), onPause },
            onProgress,
          ),
        )(ignore, ignore, ignore),
      )
      yield* TestClock.adjust("5 minutes")
      yield* slots.release(1)
      yield* Fiber.join(spoken)
      yield* Fiber.join(heard)
      expect(chunks.length).toBeGreaterThan(0)
    }).pipe(Effect.scoped, Effect.provide(BunFileSystem.layer)),
  )
})
