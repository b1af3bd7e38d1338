/** The real recognizer, where its models are installed. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { cp, rm, truncate } from "node:fs/promises"
import { join } from "node:path"
import { Effect, Logger, LogLevel, Option } from "effect"
import { makeEngine } from "../../../src/providers/offline/engine/supervisor.ts"
import { findRecognizer } from "../../../src/providers/offline/recognizer.ts"
import { ffmpeg, withTempDir } from "../../support/ffmpeg.ts"
import {
  anyHearing,
  hasLibriVox,
  hasRecognizer,
  library,
  type Reading,
  readLibriVox,
  recognizer,
} from "../../support/offline-models.ts"
import { wordErrorRate } from "../../support/word-error-rate.ts"
import { type RunningEngines, start } from "./engines.ts"

const rate = 16_000

let engines: RunningEngines
beforeAll(async () => {
  if (hasRecognizer) engines = await start({ ffmpegPath: "ffmpeg", library })
})
afterAll(() => engines?.stop())

const samplesOf = async (path: string) => {
  const file = await Bun.file(path).bytes()
  const bytes = await ffmpeg(["-i", "pipe:0", "-ac", "1", "-ar", `${rate}`, "-f", "s16le", "pipe:1"], file)
  return new Int16Array(bytes.slice().buffer)
}
const question = new URL("../../../examples/question.wav", import.meta.url).pathname

/** Parts one after the other, each with half a second of silence after it. */
const joined = (parts: ReadonlyArray<Int16Array>) => {
  const all = new Int16Array(parts.reduce((sum, part) => sum + part.length + rate / 2, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length + rate / 2
  }
  return all
}

const pids = () =>
  Bun.spawnSync(["pgrep", "-f", "-P", `${process.pid}`, "engine/child.ts"])
    .stdout.toString()
    .split("\n")
    .filter((pid) => pid !== "")

describe.skipIf(!hasRecognizer)("hearing", () => {
  test("a question", async () => {
    expect(await engines.hear(await samplesOf(question))).toMatch(/my name is Robert/i)
    expect(engines.names.stt()).toStartWith("moonshine")
  })

  test("a quiet question, and a very loud one", async () => {
    const samples = await samplesOf(question)
    for (const gain of [0.02, 4]) {
      const changed = samples.map((sample) => Math.max(-32_768, Math.min(32_767, sample * gain)))
      expect(await engines.hear(changed)).toMatch(/my name is/i)
    }
  })

  const noise = (amplitude: number) => () => (Math.random() * 2 - 1) * amplitude
  const sine =
    (hz: number, amplitude = 0.5) =>
    (at: number) =>
      amplitude * Math.sin((2 * Math.PI * hz * at) / rate)
  const no: ReadonlyArray<readonly [string, (at: number) => number]> = [
    ["silence", () => 0],
    ["an offset", () => 0.4],
    ["white noise at -26 dB", noise(0.05)],
    ["white noise at -6 dB", noise(0.5)],
    ["a pulsing noise", (at) => (at % 8000 < 3000 ? noise(0.3)() : 0)],
    ["mains hum", (at) => sine(50, 0.3)(at) + sine(150, 0.2)(at)],
    ["a tone of 440 Hz", sine(440)],
    ["a tone of 3 kHz", sine(3000)],
    ["a dial tone", (at) => sine(350, 0.3)(at) + sine(440, 0.3)(at)],
    ["a key of a telephone", (at) => sine(697, 0.3)(at) + sine(1209, 0.3)(at)],
    ["a ringing telephone", (at) => (at % rate < rate / 2 ? sine(at % 800 < 400 ? 1000 : 1300)(at) : 0)],
    ["a chord", (at) => sine(262, 0.2)(at) + sine(330, 0.2)(at) + sine(392, 0.2)(at)],
    ["a siren", (at) => sine(600 + 200 * Math.sin(at / rate), 0.4)(at)],
    ["a square wave", (at) => (at % 64 < 32 ? 0.3 : -0.3)],
    ["clicks", (at) => (at % 4000 === 0 ? 0.9 : 0)],
  ]
  test.each(no)("no words in %s", async (_, signal) => {
    for (const seconds of [0.3, 5]) {
      const samples = Int16Array.from({ length: seconds * rate }, (_, at) =>
        Math.max(-32_768, Math.min(32_767, signal(at) * 32_768)),
      )
      expect(await engines.hear(samples)).toBe("")
    }
  })

  test("no words in no samples", async () => {
    expect(await engines.hear(new Int16Array(0))).toBe("")
    expect(await engines.hear(new Int16Array(1))).toBe("")
  })

  test("another language is refused", async () => {
    const samples = await samplesOf(question)
    for (const language of ["de", "zh-CN", "fr_FR"]) {
      await expect(engines.hear(samples, undefined, language)).rejects.toThrow(
        `does not know the language "${language}"`,
      )
    }
    expect(await engines.hear(samples, undefined, "en-GB")).toMatch(/my name is/i)
  })

  test("an interruption, and then a question", async () => {
    const samples = await samplesOf(question)
    const long = joined(Array(40).fill(samples))
    for (const ms of [0, 5, 50, 300]) {
      await expect(engines.hear(long, AbortSignal.timeout(ms))).rejects.toThrow()
    }
    expect(await engines.hear(samples)).toMatch(/my name is/i)
  })

  test("six at once, and a short one does not wait for a long one", async () => {
    const samples = await samplesOf(question)
    const alone = await engines.hear(samples)
    const order: Array<string> = []
    const long = engines.hear(joined(Array(6).fill(samples))).then((text) => {
      order.push("long")
      return text
    })
    const short = Array.from({ length: 6 }, () =>
      engines.hear(samples).then((text) => {
        order.push("short")
        return text
      }),
    )
    expect(await Promise.all(short)).toEqual(Array(6).fill(alone))
    expect((await long).match(/my name is/gi)?.length).toBe(6)
    expect(order.at(-1)).toBe("long")
  }, 60_000)

  test("an engine that is killed fails the request, and the next one is heard", async () => {
    const samples = await samplesOf(question)
    const [pid] = pids()
    const heard = engines.hear(joined(Array(40).fill(samples)))
    await Bun.sleep(50)
    process.kill(Number(pid), "SIGKILL")
    await expect(heard).rejects.toThrow()
    expect(await engines.hear(samples)).toMatch(/my name is/i)
    expect(pids()).not.toEqual([pid ?? ""])
  })
})

describe.skipIf(!hasRecognizer || !hasLibriVox)("five readings of LibriVox", () => {
  let readings: ReadonlyArray<Reading>
  let clips: ReadonlyArray<Int16Array>
  let all: string
  beforeAll(async () => {
    readings = await readLibriVox()
    clips = await Promise.all(readings.map(({ path }) => samplesOf(path)))
    all = readings.map(({ text }) => text).join(" ")
  })

  test("at most 6 % of the words are wrong", async () => {
    const heard: Array<string> = []
    for (const clip of clips) heard.push(await engines.hear(clip))
    // Measured: 0.028.
    expect(wordErrorRate(all, heard.join(" "))).toBeLessThanOrEqual(0.06)
  })

  test("the longest recording, of five minutes", async () => {
    // With a silence of minutes, of which the recognizer hears nothing: speech of five minutes costs 10 s of CPU.
    const once = joined(clips)
    const long = new Int16Array(300 * rate)
    for (const at of [0, long.length - once.length]) long.set(once, at)
    const heard = await engines.hear(long)
    expect(wordErrorRate(Array(2).fill(all).join(" "), heard)).toBeLessThanOrEqual(0.06)
  }, 120_000)

  test("without a pause", async () => {
    // Without the silence between the words, speech that is too long for one run has no pause to be cut at.
    const dense = joined(clips).filter((sample) => Math.abs(sample) > 100)
    expect(dense.length / rate).toBeGreaterThan(15)
    const words = (await engines.hear(dense)).split(" ")
    expect(words.length).toBeWithin(30, 100)
  }, 60_000)
})

describe.skipIf(!hasRecognizer)("damaged models", () => {
  /** Engines on a copy of the models whose encoder was changed. */
  const withCopy = (
    change: (encoder: string) => Promise<unknown>,
    use: (own: RunningEngines, encoder: string) => Promise<unknown>,
  ) =>
    withTempDir(async (folder) => {
      // A path ends in NAME/VERSION/FILE.
      for (const path of Object.values(Option.getOrThrow(recognizer).engine.files)) {
        await cp(path, join(folder, ...path.split("/").slice(-3)))
      }
      const found = await Effect.runPromise(findRecognizer({ ...library, folders: [folder] }, anyHearing))
      const { encoder = "" } = Option.getOrThrow(found).engine.files
      await change(encoder)
      const own = await start({ ffmpegPath: "ffmpeg", library: { ...library, folders: [folder] } })
      await use(own, encoder).finally(own.stop)
    })

  const pocketsphinxHears = async (own: RunningEngines) => {
    const samples = await samplesOf(question)
    // Not all of the question: Pocketsphinx is slower than Moonshine.
    expect(await own.hear(samples.subarray(0, 1.2 * rate))).not.toBe("")
    expect(own.names.stt()).toBe("pocketsphinx")
  }
  const flipBit = async (path: string) => {
    const bytes = await Bun.file(path).bytes()
    bytes[5000] = (bytes[5000] ?? 0) ^ 1
    await Bun.write(path, bytes)
  }

  test("a truncated one is not used", () => withCopy((encoder) => truncate(encoder, 1000), pocketsphinxHears))

  test("a missing one is not used", () => withCopy((encoder) => rm(encoder), pocketsphinxHears))

  test("one with other bytes is not loaded", () => withCopy(flipBit, pocketsphinxHears))

  test.each(["encoder", "decoder", "detector"])("a damaged %s that is loaded ends the engine only", (name) =>
    withTempDir(async (folder) => {
      const { engine } = Option.getOrThrow(recognizer)
      const path = `${folder}/damaged`
      await cp(engine.files[name] ?? "", path)
      await truncate(path, 1_000_000)
      const own = makeEngine({ ...engine, check: Effect.void, files: { ...engine.files, [name]: path } })
      const samples = await samplesOf(question)
      const heard = Effect.flatMap(own, ({ run }) => Effect.flip(run(new Uint8Array(samples.buffer))))
      const { reason } = await Effect.runPromise(
        heard.pipe(Effect.scoped, Logger.withMinimumLogLevel(LogLevel.None)),
      )
      expect(reason).toEndWith(`Load model from ${path} failed:Protobuf parsing failed.`)
    }),
  )
})
