/** Measures the offline engines: what they hear of five readings, and whole turns without a key. */
import { mkdir, symlink } from "node:fs/promises"
import { join } from "node:path"
import * as BunFileSystem from "@effect/platform-bun/BunFileSystem"
import { Effect, Logger, LogLevel, Schema } from "effect"
import { makeEngine } from "../../src/providers/offline/engine/supervisor.ts"
import { findEngines } from "../../src/providers/offline/model-engine.ts"
import { makePocketsphinx } from "../../src/providers/offline/pocketsphinx.ts"
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

/** Whole turns of so many clients, each with its next turn at the end of the last one. */
export interface TurnRow {
  readonly clients: number
  readonly turns: number
  readonly failed: number
  readonly firstByteMs: { readonly p50: number; readonly p95: number }
  readonly lastByteMs: number
  /** Resident memory in MB, of the service and of the engine's process. */
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

const engineOf = (pid: number): number | undefined =>
  Bun.spawnSync(["pgrep", "-P", `${pid}`, "-f", "engine/child.ts"])
    .stdout.toString()
    .split("\n")
    .filter((line) => line !== "")
    .map(Number)[0]

const engineMb = (parent: number): number => {
  const pid = engineOf(parent)
  return pid === undefined ? Number.NaN : costOf(pid).residentMb
}

/** Each installed recognizer on the readings. */
export const measureHearing = async (): Promise<ReadonlyArray<HeardRow>> => {
  const clips = await readClips()
  const measured = Effect.gen(function* () {
    const rows: Array<HeardRow> = []
    for (const { name, engine } of yield* findEngines(library, "stt")) {
      const row = Effect.flatMap(makeEngine(engine), ({ run }) => {
        const hear = (samples: Uint8Array) =>
          Effect.map(run(samples), (text) => new TextDecoder().decode(text))
        return measure(name, clips, hear, () => engineMb(process.pid))
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

/** In DATA_DIR of the bench, the models of this checkout. */
export const linkModels = async () => {
  const folder = join(import.meta.dir, "../../.data/bench")
  await mkdir(folder, { recursive: true })
  await symlink("../models", join(folder, "models")).catch(() => undefined)
}

/** Turns of a service without a key; the question is the third reading, 5.3 s. */
export const measureTurns = async (
  clients: ReadonlyArray<number>,
  least: number,
): Promise<ReadonlyArray<TurnRow>> => {
  await linkModels()
  const service = await startService(
    "",
    { OPENAI_API_KEY: "", OPENAI_BASE_URL: "", OFFLINE_ENGINES: "on", OLLAMA: "off" },
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
      engineMb: engineMb(service.pid),
      loop: await takeLoop(),
    })
  }
  await service.stop()
  // The first row warms the service up.
  return rows.slice(1)
}
