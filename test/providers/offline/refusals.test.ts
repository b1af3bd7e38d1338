/** An engine that runs, and cannot do a request: another one does it, and nobody asks again. */
import { describe, expect, test } from "bun:test"
import * as BunFileSystem from "@effect/platform-bun/BunFileSystem"
import { Effect, Either, Logger, LogLevel, Option } from "effect"
import { pcm16k } from "../../../src/audio/pcm.ts"
import { makeSpeechOutput } from "../../../src/audio/speech-output.ts"
import { wavHeader } from "../../../src/audio/wav.ts"
import { makeStartFfmpeg } from "../../../src/ffmpeg/sandbox.ts"
import type { Frame } from "../../../src/providers/offline/engine/frame.ts"
import { makeHearing } from "../../../src/providers/offline/hearing.ts"
import type { ModelEngine } from "../../../src/providers/offline/model-engine.ts"
import { makeSpeaking } from "../../../src/providers/offline/speaking.ts"
import { newId, TurnId } from "../../../src/schema.ts"
import { ffmpeg } from "../../support/ffmpeg.ts"
import { type FakeProcess, makeFakeProcess } from "./engine/fake-process.ts"
import { peakOf } from "./engines.ts"

const rate = 24_000
const textOf = ({ bytes = new Uint8Array() }: Frame) => new TextDecoder().decode(bytes)

/** A second of a tone of 1 kHz, at a quarter of full scale. */
const tone = new Uint8Array(
  Int16Array.from({ length: rate }, (_, at) => 8192 * Math.sin((2 * Math.PI * 1000 * at) / rate)).buffer,
)
const header = wavHeader({ sampleRate: rate, channels: 1, bitsPerSample: 16 })

/** Speaks every text as the tone, but cannot speak one with "bad" in it, and does not end one with "half" in it. */
const speakOrRefuse = (run: Frame): ReadonlyArray<Frame> => {
  const { id } = run
  const begin: Frame = { kind: "progress", id, bytes: header }
  const audio: Frame = { kind: "progress", id, bytes: tone }
  const failed: Frame = { kind: "failed", id, note: "the model gave no audio" }
  if (textOf(run).includes("bad")) return [begin, failed]
  return textOf(run).includes("half")
    ? [begin, ...Array<Frame>(20).fill(audio)]
    : [begin, audio, { kind: "done", id }]
}

const engineOf = (answer: (run: Frame) => ReadonlyArray<Frame>) => {
  const runs: Array<string> = []
  let process: FakeProcess | undefined
  const model: ModelEngine = {
    name: "scripted",
    languages: ["en"],
    voices: [],
    engine: {
      name: "scripted",
      check: Effect.void,
      start: () => {
        process = makeFakeProcess({
          answer: (run) => {
            runs.push(textOf(run))
            return answer(run)
          },
        })
        return process.process
      },
      loader: "moonshine",
      files: {},
    },
  }
  return { model, runs, write: (frame: Frame) => process?.write(frame) }
}

const speak = async (text: string, searchPath = process.env.PATH ?? "") => {
  const { model, runs, write } = engineOf(speakOrRefuse)
  const chunks: Array<Uint8Array> = []
  const result = await Effect.gen(function* () {
    const speaking = yield* makeSpeaking({
      startFfmpeg: makeStartFfmpeg("ffmpeg"),
      searchPath,
      takeSlot: Effect.void,
      voice: Option.some(model),
      wish: { model: "any", language: Option.none() },
    })
    const options = {
      turnId: newId(TurnId),
      model: "any",
      voice: "alloy",
      output: makeSpeechOutput("pcm"),
    }
    const said = yield* Effect.either(
      speaking.speak(text, options, () => (bytes) => {
        // The load is the first request.
        if (text.includes("half")) write({ kind: "failed", id: 2, note: "the model failed" })
        return chunks.push(bytes) > 0
      }),
    )
    expect(speaking.engine()).toBe("scripted")
    return said
  }).pipe(
    Effect.scoped,
    Effect.provide(BunFileSystem.layer),
    Logger.withMinimumLogLevel(LogLevel.None),
    Effect.runPromise,
  )
  const audio = Buffer.concat(chunks)
  const pcm = new Int16Array(audio.buffer.slice(audio.byteOffset, audio.byteOffset + audio.length))
  return { result, runs, pcm, seconds: pcm.length / rate }
}

describe("a text that the model cannot speak", () => {
  test("is left to the programs", async () => {
    const { result, runs, pcm } = await speak("This is bad.")
    expect(Either.isRight(result)).toBe(true)
    expect(runs).toEqual(["This is bad."])
    expect(peakOf(pcm)).toBeGreaterThan(1000)
  })

  test.each([
    ["first", "It is bad. It is well. It is well."],
    ["in the middle", "It is well. It is bad. It is well."],
    ["last", "It is well. It is well. It is bad."],
  ])("%s: the model speaks the others", async (_, text) => {
    const { result, runs, seconds } = await speak(text)
    expect(Either.isRight(result)).toBe(true)
    expect(runs).toEqual(text.match(/[^.]+\./g)?.map((each) => each.trim()) ?? [])
    const { seconds: program } = await speak("It is bad.")
    expect(seconds).toBeCloseTo(2 + program, 1)
  })

  test("twice in a row", async () => {
    const { result, runs, seconds } = await speak("It is bad. It is bad. It is well.")
    expect(Either.isRight(result)).toBe(true)
    expect(runs.length).toBe(3)
    expect(seconds).toBeGreaterThan(2)
  })

  test("fails where a part of it was heard, and is not asked for again", async () => {
    const { result } = await speak("It is half.")
    expect(Either.getLeft(result)).toMatchObject({ value: { retryable: false } })
  })

  test("fails without the programs, with what to do", async () => {
    const { result } = await speak("It is bad.", "/nowhere")
    expect(Either.getLeft(result)).toMatchObject({ value: { kind: "no-voice", retryable: false } })
  })
})

describe("a recording that the recognizer cannot hear", () => {
  const hear = async (searchPath = process.env.PATH ?? "") => {
    const { model } = engineOf(({ id }) => [{ kind: "failed", id, note: "the model failed" }])
    const question = new URL("../../../examples/question.wav", import.meta.url).pathname
    const speech = pcm16k(await ffmpeg(["-i", question, "-ac", "1", "-ar", "16000", "-f", "s16le", "pipe:1"]))
    return Effect.gen(function* () {
      const hearing = yield* makeHearing({
        searchPath,
        takeSlot: Effect.void,
        recognizer: Option.some(model),
      })
      const options = { turnId: newId(TurnId), model: "any", language: Option.none() }
      return yield* Effect.either(hearing.transcribe(speech, options, () => undefined))
    }).pipe(
      Effect.scoped,
      Effect.provide(BunFileSystem.layer),
      Logger.withMinimumLogLevel(LogLevel.None),
      Effect.runPromise,
    )
  }

  test("is left to pocketsphinx", async () => {
    expect(Either.getOrThrow(await hear()).text).toMatch(/my name is/i)
  })

  test("fails without it, with what to do", async () => {
    expect(Either.getLeft(await hear("/nowhere"))).toMatchObject({
      value: { kind: "no-recognizer", retryable: false },
    })
  })
})
