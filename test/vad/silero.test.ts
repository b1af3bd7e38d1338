/** The real Silero on real audio, where its model and ONNX Runtime are installed. */
import { afterAll, describe, expect, test } from "bun:test"
import { Effect, Either, Exit, Logger, LogLevel, Scope } from "effect"
import { makeEngine } from "../../src/providers/offline/engine/supervisor.ts"
import { type SpeechEvent, silentAt, step } from "../../src/realtime/endpointing.ts"
import { frameSamples } from "../../src/vad/frame.ts"
import { findSilero } from "../../src/vad/silero/engine.ts"
import { makeStreams } from "../../src/vad/streams.ts"
import { ffmpeg } from "../support/ffmpeg.ts"
import { serverVad } from "../support/listener.ts"
import { hasLibriVox, library, readLibriVox } from "../support/offline-models.ts"
import { noiseOf, noSpeech } from "../support/sounds.ts"

const silero = await Effect.runPromise(findSilero(library))
if (Either.isLeft(silero)) console.error(`Skipped: the tests of Silero. ${silero.left}`)

const question = new URL("../../examples/question.wav", import.meta.url).pathname

const readSamples = async (path: string, gain = "0dB") =>
  new Int16Array(
    (
      await ffmpeg(["-i", path, "-ac", "1", "-ar", "16000", "-af", `volume=${gain}`, "-f", "s16le", "pipe:1"])
    ).slice().buffer,
  )

/** With a second of digital silence around it. */
const padded = (samples: Int16Array, before = 16_000) => {
  const all = new Int16Array(before + samples.length + 16_000)
  all.set(samples, before)
  return all
}

const withNoise = (samples: Int16Array, snr: number) => {
  const random = noiseOf(3)
  const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length
  const amplitude = Math.sqrt((3 * power) / 10 ** (snr / 10))
  return samples.map((sample) => Math.max(-32_768, Math.min(32_767, sample + random() * amplitude)))
}

const frameCount = (samples: Int16Array) => Math.floor(samples.length / frameSamples)

/** Silero in its process, and the processes that were started. */
const start = Effect.gen(function* () {
  const options = yield* silero
  const pids: Array<number> = []
  const engine = yield* makeEngine({
    ...options,
    start: () => {
      const process = options.start()
      pids.push(process.pid)
      return process
    },
  })
  const open = yield* makeStreams(engine)
  /** The probabilities of audio that is pushed in pieces of 100 ms. `onFrame` is called for each. */
  const detect = Effect.fnUntraced(function* (
    samples: Int16Array,
    onFrame: (frame: number) => void = () => undefined,
  ) {
    const done = Promise.withResolvers<void>()
    const found: Array<number> = []
    const stream = yield* open((probability) => {
      found.push(probability)
      onFrame(found.length)
      if (found.length === frameCount(samples)) done.resolve()
    })
    for (let at = 0; at < samples.length; at += 1600) stream.push(samples.subarray(at, at + 1600))
    yield* Effect.promise(() => done.promise)
    return found
  }, Effect.scoped)
  return { detect, pids }
})

const run = <A>(effect: Effect.Effect<A, string>) =>
  Effect.runPromise(effect.pipe(Logger.withMinimumLogLevel(LogLevel.None)))

const eventsOf = (probabilities: ReadonlyArray<number>) => {
  let state = silentAt(0)
  const all: Array<SpeechEvent> = []
  for (const probability of probabilities) {
    const [next, events] = step(state, probability, serverVad, { completeness: undefined })
    state = next
    all.push(...events)
  }
  return all
}

const speechIn = (probabilities: ReadonlyArray<number>) =>
  eventsOf(probabilities).flatMap((event) => {
    if (event._tag === "SpeechStarted") return [event.startMs]
    return event._tag === "SpeechStopped" ? [event.endMs] : []
  })

describe.skipIf(Either.isLeft(silero))("Silero", () => {
  // One process for the tests that do not end it: each start loads the model.
  const scope = Effect.runSync(Scope.make())
  let shared: Promise<Effect.Effect.Success<typeof start>> | undefined
  const started = Effect.promise(() => {
    shared ??= run(Scope.extend(start, scope))
    return shared
  })
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  test("no speech in silence, noise, hum, tones, clicks, coughs and music", () =>
    run(
      Effect.gen(function* () {
        const { detect } = yield* started
        const sounds = Object.entries(noSpeech())
        const found = yield* Effect.forEach(sounds, ([, samples]) => detect(samples), {
          concurrency: "unbounded",
        })
        expect(found.map((each, at) => [sounds[at]?.[0], speechIn(each)])).toEqual(
          sounds.map(([name]) => [name, []]),
        )
      }),
    ))

  test("a question: clean, in noise, quiet, and after a long silence", () =>
    run(
      Effect.gen(function* () {
        const { detect } = yield* started
        const samples = yield* Effect.promise(() => readSamples(question))
        const quiet = yield* Effect.promise(() => readSamples(question, "-20dB"))
        const clean = speechIn(yield* detect(padded(samples)))
        const [startMs = 0, endMs = 0] = clean
        const lengthMs = samples.length / 16
        expect(clean.length).toBe(2)
        expect([startMs > 650, startMs < 1100]).toEqual([true, true])
        expect([endMs > lengthMs, endMs < 1000 + lengthMs + 600]).toEqual([true, true])
        for (const other of [withNoise(padded(samples), 10), padded(quiet)]) {
          const found = speechIn(yield* detect(other))
          expect(found.length).toBe(2)
          expect(Math.abs((found[0] ?? 0) - startMs)).toBeLessThan(150)
        }
        // Silence is not sent to Silero: what follows it begins as early.
        const late = speechIn(yield* detect(padded(samples, 16_000 + 160 * frameSamples)))
        expect(Math.abs((late[0] ?? 0) - 160 * 32 - startMs)).toBeLessThanOrEqual(32)
      }),
    ))

  test("many streams at once get what one gets alone", () =>
    run(
      Effect.gen(function* () {
        const { detect } = yield* started
        const samples = padded(yield* Effect.promise(() => readSamples(question)))
        const alone = yield* detect(samples)
        const together = yield* Effect.forEach(
          Array.from({ length: 70 }, (_, at) => samples.subarray(at * frameSamples)),
          (each) => detect(each),
          { concurrency: "unbounded" },
        )
        const firsts = together[0] ?? []
        expect(firsts.length).toBe(alone.length)
        const apart = firsts.map((probability, at) => Math.abs(probability - (alone[at] ?? 0)))
        expect(Math.max(...apart)).toBeLessThan(0.01)
        expect(together.map((each) => speechIn(each).length)).toEqual(together.map(() => 2))
      }),
    ))

  test("a killed process is restarted, and the streams go on", () =>
    run(
      Effect.scoped(
        Effect.gen(function* () {
          const { detect, pids } = yield* start
          const samples = padded(yield* Effect.promise(() => readSamples(question)))
          const alone = speechIn(yield* detect(samples))
          const found = yield* detect(samples, (frame) => {
            if (frame === 16) process.kill(pids[0] ?? 0, "SIGKILL")
          })
          expect(pids.length).toBe(2)
          expect(found.length).toBe(frameCount(samples))
          expect(speechIn(found).length).toBe(alone.length)
        }),
      ),
    ))

  test.skipIf(!hasLibriVox)("each reading is one speech, also in noise", () =>
    run(
      Effect.gen(function* () {
        const { detect } = yield* started
        for (const { path } of yield* Effect.promise(readLibriVox)) {
          const samples = padded(yield* Effect.promise(() => readSamples(path)))
          for (const each of [samples, withNoise(samples, 10)]) {
            const [startMs = 0, endMs = 0, ...more] = speechIn(yield* detect(each))
            expect(more).toEqual([])
            expect([startMs > 800, startMs < 1150]).toEqual([true, true])
            expect(endMs).toBeGreaterThan(samples.length / 16 - 1000)
          }
        }
      }),
    ),
  )
})
