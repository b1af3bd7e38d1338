import { describe, expect } from "bun:test"
import { Effect, Fiber, Layer, Option, TestClock } from "effect"
import { pcm16k } from "../../src/audio/pcm.ts"
import { wrongAnswer } from "../../src/providers/errors.ts"
import { LanguageModel, ModelEvent } from "../../src/providers/language-model.ts"
import { Synthesizer } from "../../src/providers/synthesizer.ts"
import { noTools } from "../../src/providers/tools.ts"
import { Transcriber } from "../../src/providers/transcriber.ts"
import { newId, TurnId } from "../../src/schema.ts"
import { effectTest } from "../support/effect.ts"

const turnId = newId(TurnId)
const speech = pcm16k(new Uint8Array(3200))
const prompt = {
  instructions: "Be brief.",
  messages: [{ role: "user", content: "Hi." }],
  ...noTools,
} as const

describe("the fake transcriber", () => {
  const options = { turnId, model: "m", language: Option.none() }
  const transcribe = Effect.flatMap(Transcriber, (port) => port.transcribe(speech, options))

  const fail = wrongAnswer("stt", "scripted")
  const fake = Transcriber.makeFake([{ afterMs: 100, text: "One." }, { fail }, { text: "Three." }])
  effectTest(
    "takes its steps in order, repeats the last and records its calls",
    Effect.gen(function* () {
      const first = yield* Effect.fork(transcribe)
      yield* TestClock.adjust("99 millis")
      expect(yield* Fiber.poll(first)).toEqual(Option.none())
      yield* TestClock.adjust("1 millis")
      expect(yield* Fiber.join(first)).toEqual({ text: "One." })
      expect(yield* Effect.flip(transcribe)).toBe(fail)
      expect(yield* transcribe).toEqual({ text: "Three." })
      expect(yield* transcribe).toEqual({ text: "Three." })
      expect(fake.calls).toEqual(Array(4).fill({ ...options, speech }))
    }).pipe(Effect.provide(fake.layer)),
  )

  effectTest(
    "starts anew with each layer",
    Effect.gen(function* () {
      const layer = Layer.fresh(Transcriber.layerFake([{ text: "One." }, { text: "Two." }]))
      for (let n = 0; n < 2; n++) expect(yield* Effect.provide(transcribe, layer)).toEqual({ text: "One." })
    }),
  )
})

describe("the fake language model", () => {
  const options = { turnId, model: "m", maxTokens: Option.some(9), temperature: Option.some(0) }
  const generate = Effect.gen(function* () {
    const events: Array<ModelEvent> = []
    const exit = yield* Effect.exit(
      (yield* LanguageModel).generate(prompt, options, (event) => events.push(event)),
    )
    return { events, isWhole: exit._tag === "Success" }
  })

  const usage = { inputTokens: 5, outputTokens: 2 }
  const fake = LanguageModel.makeFake([
    { chunks: [{ text: "Hel" }, { afterMs: 50, text: "lo." }], usage, end: "length" },
    { chunks: [{ text: "Oh" }], fail: wrongAnswer("llm", "scripted") },
  ])
  effectTest(
    "emits the chunks at their times, then usage and end, or the failure",
    Effect.gen(function* () {
      const first = yield* Effect.fork(generate)
      yield* TestClock.adjust("50 millis")
      expect(yield* Fiber.join(first)).toEqual({
        events: [
          ModelEvent.Text({ text: "Hel" }),
          ModelEvent.Text({ text: "lo." }),
          ModelEvent.Usage(usage),
          ModelEvent.End({ reason: "length" }),
        ],
        isWhole: true,
      })
      expect(yield* generate).toEqual({ events: [ModelEvent.Text({ text: "Oh" })], isWhole: false })
      expect(fake.calls).toEqual([
        { ...options, prompt },
        { ...options, prompt },
      ])
    }).pipe(Effect.provide(fake.layer)),
  )
})

describe("the fake synthesizer", () => {
  const options = { turnId, model: "m", voice: "alloy", output: { format: "pcm" } } as const
  const bytes = new Uint8Array([1, 2])
  const fake = Synthesizer.makeFake([
    { chunks: [{ bytes }, { afterMs: 20, bytes }] },
    { chunks: [{ bytes }], fail: wrongAnswer("tts", "scripted") },
  ])
  const speak = Effect.gen(function* () {
    const chunks: Array<Uint8Array> = []
    const take = (chunk: Uint8Array) => chunks.push(chunk) > 0
    const exit = yield* Effect.exit((yield* Synthesizer).speak("Hi.", options, () => take))
    return { chunks, isWhole: exit._tag === "Success" }
  })
  effectTest(
    "gives the chunks at their times, then the end or the failure",
    Effect.gen(function* () {
      const first = yield* Effect.fork(speak)
      yield* TestClock.adjust("20 millis")
      expect(yield* Fiber.join(first)).toEqual({ chunks: [bytes, bytes], isWhole: true })
      expect(yield* speak).toEqual({ chunks: [bytes], isWhole: false })
      expect(fake.calls).toEqual(Array(2).fill({ ...options, text: "Hi." }))
    }).pipe(Effect.provide(fake.layer)),
  )
})
