/** Measures the offline engines: what they hear of five readings, and whole turns without a key. */
import { mkdir, rm, symlink } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as BunFileSystem from "@effect/platform-bun/BunFileSystem"
import { Effect, Either, Logger, LogLevel, Schema } from "effect"
import { makeEngine } from "../../src/providers/offline/engine/supervisor.ts"
import { findEngines } from "../../src/providers/offline/model-engine.ts"
import { makePocketsphinx } from "../../src/providers/offline/pocketsphinx.ts"
import { frameSamples } from "../../src/vad/frame.ts"
import { encodeBatch } from "../../src/vad/silero/batch.ts"
import { findSilero } from "../../src/vad/silero/engine.ts"
import { ffmpeg } from "../../test/support/ffmpeg.ts"
import { hasLibriVox, library, readLibriVox } from "../../test/support/offline-models.ts"
import { wordErrorRate } from "../../test/support/word-error-rate.ts"
import { formOf, type Heard, isHeard, takeTurn } from "./client.ts"
import { costOf } from "./cost.ts"
import { register, startService } from "./programs.ts"
import { median, percentile } from "./statistics.ts"

/** What one recognizer makes of the readings. */
export interface HeardRow {
  readonly engine: string
  /** Wrong words as a share of all. */
  readonly wordErrorRate: number
  /** Time as a share of the length of the audio. */
  readonly realTimeFactor: number
  readonly medianMs: number
  /** Resident memory in MB, of a process that stays. */
  readonly residentMb: number | undefined
}

/** How one voice speaks the texts of the readings. */
export interface SpokenRow {
  readonly engine: string
  /** Time as a share of the length of the speech. */
  readonly realTimeFactor: number
  /** Of one sentence, in ms. */
  readonly medianMs: number
  /** Resident memory in MB: of a process that stays, or of one process of a program at most. */
  readonly residentMb: number
}

/** Whole turns of so many clients, each with its next turn at the end of the last one. */
export interface TurnRow {
  readonly clients: number
  readonly turns: number
  readonly failed: number
  readonly firstByteMs: { readonly p50: number; readonly p95: number }
  readonly lastByteMs: number
  /** Resident memory in MB, of the service and of all processes of models that it runs. */
  readonly serviceMb: number
  readonly engineMb: number
  readonly loop: LoopDelay
}

/** How long the service's event loop was blocked at most, in ms. */
const LoopDelay = Schema.parseJson(
  Schema.Struct({
    /** How late a timer was. On a busy machine that is also the time in which the process did not run. */
    lateMs: Schema.Number,
    /** The CPU time of the loop's thread between two ticks of the timer, of 2 ms. */
    busyMs: Schema.Number,
  }),
)
type LoopDelay = typeof LoopDelay.Type

interface Clip {
  /** 16 kHz mono 16-bit. */
  readonly samples: Uint8Array
  readonly text: string
}

const readClips = async (): Promise<ReadonlyArray<Clip>> => {
  if (!hasLibriVox) throw new Error("The readings are missing. Run: apt-get install pocketsphinx-testdata")
  return Promise.all(
    (await readLibriVox()).map(async ({ path, text }) => ({
      samples: await ffmpeg(["-i", path, "-ac", "1", "-ar", "16000", "-f", "s16le", "pipe:1"]),
      text,
    })),
  )
}

const measure = (
  engine: string,
  clips: ReadonlyArray<Clip>,
  hear: (samples: Uint8Array) => Effect.Effect<string, unknown>,
  residentMb: () => number | undefined,
) =>
  Effect.gen(function* () {
    // Not measured: the start of the process.
    yield* hear(clips[0]?.samples ?? new Uint8Array())
    const heard: Array<string> = []
    const times: Array<number> = []
    for (const { samples } of clips) {
      const begin = performance.now()
      heard.push(yield* hear(samples))
      times.push(performance.now() - begin)
    }
    const seconds = clips.reduce((sum, { samples }) => sum + samples.length / 32_000, 0)
    return {
      engine,
      wordErrorRate: wordErrorRate(clips.map(({ text }) => text).join(" "), heard.join(" ")),
      realTimeFactor: times.reduce((sum, ms) => sum + ms, 0) / 1000 / seconds,
      medianMs: median(times),
      residentMb: residentMb(),
    }
  })

/** The models' processes of a service. ffmpeg and the programs are none: they end with their work. */
const enginesOf = (pid: number): ReadonlyArray<number> =>
  Bun.spawnSync(["pgrep", "-P", `${pid}`, "-f", "/child\\.ts"])
    .stdout.toString()
    .split("\n")
    .filter((line) => line !== "")
    .map(Number)

const enginesMb = (parent: number): number =>
  enginesOf(parent).reduce((sum, pid) => sum + costOf(pid).residentMb, 0)

/** Each installed recognizer on the readings. */
export const measureHearing = async (): Promise<ReadonlyArray<HeardRow>> => {
  const clips = await readClips()
  const measured = Effect.gen(function* () {
    const rows: Array<HeardRow> = []
    for (const { name, engine } of yield* findEngines(library, "stt")) {
      const row = Effect.flatMap(makeEngine(engine), ({ run }) => {
        const hear = (samples: Uint8Array) =>
          Effect.map(run(samples), (text) => new TextDecoder().decode(text))
        return measure(name, clips, hear, () => enginesMb(process.pid))
      })
      rows.push(yield* Effect.scoped(row))
    }
    const searchPath = process.env.PATH ?? ""
    const pocketsphinx = yield* makePocketsphinx({ searchPath, takeSlot: Effect.void })
    if (pocketsphinx.isInstalled) {
      rows.push(yield* measure("pocketsphinx", clips, pocketsphinx.transcribe, () => undefined))
    }
    return rows
  })
  return Effect.runPromise(
    measured.pipe(Effect.provide(BunFileSystem.layer), Logger.withMinimumLogLevel(LogLevel.Error)),
  )
}

/** Seconds in a WAV of 16-bit mono samples. */
const secondsOf = (wav: Uint8Array) =>
  (wav.length - 44) / 2 / new DataView(wav.buffer, wav.byteOffset).getUint32(24, true)

const speakAll = (
  engine: string,
  texts: ReadonlyArray<string>,
  speak: (text: string) => Effect.Effect<Uint8Array, unknown>,
  residentMb: () => number,
) =>
  Effect.gen(function* () {
    // Not measured: the start of the process, and the first read of a program from the disk.
    yield* speak("Hello.")
    let seconds = 0
    const times: Array<number> = []
    for (const text of texts) {
      const begin = performance.now()
      seconds += secondsOf(yield* speak(text))
      times.push(performance.now() - begin)
    }
    const realTimeFactor = times.reduce((sum, ms) => sum + ms, 0) / 1000 / seconds
    return { engine, realTimeFactor, medianMs: median(times), residentMb: residentMb() }
  })

/** 0 for a process that has ended. */
const memoryOf = (pid: number): number => {
  try {
    return costOf(pid).residentMb
  } catch {
    return 0
  }
}

/** A program that writes a WAV file: a process per text. */
const measureProgram = (
  engine: string,
  args: (text: string, file: string) => ReadonlyArray<string>,
  texts: ReadonlyArray<string>,
) => {
  let residentMb = 0
  const file = join(tmpdir(), `voice-agent-bench-${process.pid}.wav`)
  const speak = (text: string) =>
    Effect.promise(async () => {
      const child = Bun.spawn([...args(text, file)], { stdout: "ignore", stderr: "ignore" })
      // Not by resourceUsage: its maximum is that of this process, from before the program's start.
      while (child.exitCode === null && child.signalCode === null) {
        residentMb = Math.max(residentMb, memoryOf(child.pid))
        await Bun.sleep(2)
      }
      const wav = await Bun.file(file).bytes()
      await rm(file)
      return wav
    })
  return speakAll(engine, texts, speak, () => residentMb)
}

/** Each installed voice and program on the texts of the readings. */
export const measureSpeaking = async (): Promise<ReadonlyArray<SpokenRow>> => {
  const texts = (await readClips()).map(({ text }) => text)
  const measured = Effect.gen(function* () {
    const rows: Array<SpokenRow> = []
    for (const { name, engine } of yield* findEngines(library, "tts")) {
      const row = Effect.flatMap(makeEngine(engine), ({ run }) => {
        const speak = (text: string) =>
          Effect.suspend(() => {
            const parts: Array<Uint8Array> = []
            const bytes = new TextEncoder().encode(text)
            return Effect.map(
              run(bytes, { language: "en", speaker: 0 }, (part = new Uint8Array()) => parts.push(part)),
              () => Buffer.concat(parts),
            )
          })
        return speakAll(name, texts, speak, () => enginesMb(process.pid))
      })
      rows.push(yield* Effect.scoped(row))
    }
    if (Bun.which("flite") !== null) {
      rows.push(
        yield* measureProgram(
          "flite",
          (text, file) => ["flite", "-voice", "slt", "-t", text, "-o", file],
          texts,
        ),
      )
    }
    if (Bun.which("espeak-ng") !== null) {
      rows.push(yield* measureProgram("espeak-ng", (text, file) => ["espeak-ng", "-w", file, text], texts))
    }
    return rows
  })
  return Effect.runPromise(measured.pipe(Logger.withMinimumLogLevel(LogLevel.Error)))
}

/** Resident memory of Silero's process after some audio, in MB. Undefined where it cannot run. */
export const measureSilero = (): Promise<number | undefined> =>
  Effect.gen(function* () {
    const found = yield* findSilero(library)
    if (Either.isLeft(found)) return undefined
    const { run } = yield* makeEngine(found.right)
    yield* run(encodeBatch([{ stream: 0, isFirst: true, samples: new Int16Array(frameSamples) }]))
    return enginesMb(process.pid)
  }).pipe(Effect.scoped, Logger.withMinimumLogLevel(LogLevel.None), Effect.runPromise)

/** In DATA_DIR of the bench, the models of this checkout. */
export const linkModels = async () => {
  const folder = join(import.meta.dir, "../../.data/bench")
  await mkdir(folder, { recursive: true })
  await symlink("../models", join(folder, "models")).catch(() => undefined)
}

/** What hears and speaks in the turns: what the set-up installs, whatever else is installed here. */
export const turnEngines = { stt: "moonshine-tiny-en", tts: "flite" } as const

/** Turns of a service without a key; the question is the third reading, 5.3 s. */
export const measureTurns = async (
  clients: ReadonlyArray<number>,
  least: number,
): Promise<ReadonlyArray<TurnRow>> => {
  await linkModels()
  const service = await startService(
    "",
    {
      OPENAI_API_KEY: "",
      OPENAI_BASE_URL: "",
      OFFLINE_ENGINES: "on",
      OLLAMA: "off",
      STT_MODEL: turnEngines.stt,
      TTS_MODEL: turnEngines.tts,
    },
    ["--preload", "./scripts/bench/loop-probe.ts"],
  )
  const takeLoop = async () => {
    const line = service.says((each) => each.includes("bench.loop"))
    process.kill(service.pid, "SIGURG")
    return Schema.decodeUnknownSync(LoopDelay)(await line)
  }
  const [, , question] = await readLibriVox()
  const wav = await ffmpeg(["-i", question?.path ?? "", "-ac", "1", "-ar", "16000", "-f", "wav", "pipe:1"])
  const form = formOf(wav)
  const speakers = await Promise.all(
    Array.from({ length: Math.max(...clients) }, async () => {
      return { api: service.api, key: await register(service.api), form, speechMs: 0 }
    }),
  )
  const rows: Array<TurnRow> = []
  for (const count of [1, ...clients]) {
    const each = Math.ceil(least / count)
    const outcomes = await Promise.all(
      speakers.slice(0, count).map(async (speaker) => {
        const own = []
        for (let turn = 0; turn < each; turn++) own.push(await takeTurn(speaker))
        return own
      }),
    )
    const all = outcomes.flat()
    const heard: ReadonlyArray<Heard> = all.filter(isHeard)
    const firstBytes = heard.map(({ firstByteMs }) => firstByteMs)
    rows.push({
      clients: count,
      turns: heard.length,
      failed: all.length - heard.length,
      firstByteMs: { p50: median(firstBytes), p95: percentile(firstBytes, 0.95) },
      lastByteMs: median(heard.map(({ lastByteMs }) => lastByteMs)),
      serviceMb: costOf(service.pid).residentMb,
      engineMb: enginesMb(service.pid),
      loop: await takeLoop(),
    })
  }
  await service.stop()
  // The first row warms the service up.
  return rows.slice(1)
}
