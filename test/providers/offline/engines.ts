import { afterAll, beforeAll } from "bun:test"
import { Effect, Exit, Option, Scope } from "effect"
import { pcm16k } from "../../../src/audio/pcm.ts"
import type { SpokenFormat } from "../../../src/audio/speech-joiner.ts"
import { makeSpeechOutput } from "../../../src/audio/speech-output.ts"
import { manifest } from "../../../src/models/manifest.ts"
import type { Library } from "../../../src/models/store.ts"
import type { ModelEvent } from "../../../src/providers/language-model.ts"
import { makeOfflineEngines } from "../../../src/providers/offline/engines.ts"
import { talker } from "../../../src/providers/offline/thinking.ts"
import { noTools } from "../../../src/providers/tools.ts"
import { newId, Stage, TurnId } from "../../../src/schema.ts"

type AllOptions = Parameters<typeof makeOfflineEngines>[0]
type Options = Pick<AllOptions, "ffmpegPath"> & Partial<AllOptions>

/** The settings of a service without any. */
export const wishes = {
  hearing: { model: "whisper-1", language: Option.none() },
  speaking: { model: "tts-1", language: Option.none() },
}

/** A library without any model. */
export const noModels: Library = { folders: ["/nowhere"], manifest }
const common = () => ({ turnId: newId(TurnId), model: "any" })

interface SpeakOptions {
  readonly format?: SpokenFormat
  readonly voice?: string
  readonly signal?: AbortSignal
  readonly onAudio?: (bytes: Uint8Array) => void
}

/** The engines as the service starts them, with a promise for each port. */
export const start = async (options: Options) => {
  const scope = await Effect.runPromise(Scope.make())
  const engines = await Effect.runPromise(
    Scope.extend(
      makeOfflineEngines({
        stages: Stage.literals,
        library: noModels,
        thinking: talker,
        ...wishes,
        ...options,
      }),
      scope,
    ),
  )
  const hear = (samples: Int16Array, signal?: AbortSignal, language?: string) => {
    const speech = pcm16k(new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength))
    const heard = engines.transcribe(
      speech,
      { ...common(), language: Option.fromNullable(language) },
      () => undefined,
    )
    return Effect.runPromise(
      Effect.map(heard, ({ text }) => text),
      signal === undefined ? {} : { signal },
    )
  }
  const think = async (...messages: Parameters<typeof engines.generate>[0]["messages"]) => {
    const events: Array<ModelEvent> = []
    const asked = { instructions: "Be brief.", messages, ...noTools }
    const options = { ...common(), maxTokens: Option.some(100), temperature: Option.some(0) }
    await Effect.runPromise(engines.generate(asked, options, (event) => events.push(event)))
    return events
  }
  const speak = async (
    text: string,
    { format = "pcm", voice = "alloy", signal, onAudio }: SpeakOptions = {},
  ) => {
    const chunks: Array<Uint8Array> = []
    const spoken = engines.speak(
      text,
      { ...common(), voice, output: makeSpeechOutput(format) },
      () => (bytes) => {
        onAudio?.(bytes)
        return chunks.push(bytes) > 0
      },
    )
    await Effect.runPromise(spoken, signal === undefined ? {} : { signal })
    return Buffer.concat(chunks)
  }
  const stop = () => Effect.runPromise(Scope.close(scope, Exit.void))
  return { hear, think, speak, stop, names: engines.names, statuses: engines.statuses }
}
export type RunningEngines = Awaited<ReturnType<typeof start>>

/** One set of engines for a test file. */
export const withEngines = (options: Options): (() => RunningEngines) => {
  let running: RunningEngines | undefined
  beforeAll(async () => {
    running = await start(options)
  })
  afterAll(() => running?.stop())
  return () => {
    if (running === undefined) throw new Error("the engines run only within tests")
    return running
  }
}

/** This process's children at work, by name. */
export const children = (): readonly string[] =>
  Bun.spawnSync(["pgrep", "-l", "-P", `${process.pid}`])
    .stdout.toString()
    .split("\n")
    .filter((line) => /espeak|flite|ffmpeg|pocketsphinx/.test(line))

/** Waits for so many processes of engines, and returns their ids. */
export const childPids = async (count: number): Promise<ReadonlyArray<string>> => {
  const list = () =>
    Bun.spawnSync(["pgrep", "-f", "-P", `${process.pid}`, "engine/child.ts"])
      .stdout.toString()
      .split("\n")
      .filter((pid) => pid !== "")
  await eventually(() => list().length >= count)
  return list()
}

/** Waits, for two seconds at most, until something holds. */
export const eventually = async (holds: () => boolean): Promise<boolean> => {
  for (const end = Date.now() + 2000; Date.now() < end; await Bun.sleep(20)) if (holds()) return true
  return holds()
}

const inputs = { mp3: ["-f", "mp3"], pcm: ["-f", "s16le", "-ar", "24000", "-ac", "1"] }

/** Speech as mono samples of this rate in Hz, by way of ffmpeg; throws where it is no clean audio. */
export const samples = async (audio: Uint8Array, format: SpokenFormat, rate = 24_000) => {
  const output = ["-ac", "1", "-ar", `${rate}`, "-f", "s16le", "pipe:1"]
  const cmd = ["ffmpeg", "-nostdin", "-v", "error", ...inputs[format], "-i", "pipe:0", ...output]
  const child = Bun.spawn({ cmd, stdin: audio, stdout: "pipe", stderr: "pipe" })
  const [pcm, complaints] = await Promise.all([
    new Response(child.stdout).arrayBuffer(),
    new Response(child.stderr).text(),
  ])
  if (complaints !== "" || (await child.exited) !== 0) throw new Error(`ffmpeg: ${complaints}`)
  return new Int16Array(pcm)
}

/** The loudest sample, of 32767. */
export const peakOf = (pcm: Int16Array): number =>
  pcm.reduce((peak, sample) => Math.max(peak, Math.abs(sample)), 0)
