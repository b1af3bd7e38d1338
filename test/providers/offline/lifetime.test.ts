import { describe, expect, test } from "bun:test"
import { chmodSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { availableParallelism, tmpdir } from "node:os"
import { join } from "node:path"
import { Cause, Effect, Exit, Option } from "effect"
import OpenAI from "openai"
import { hostBounds } from "../../../src/ffmpeg/sandbox.ts"
import { startOfflineEngines } from "../../../src/providers/offline/server.ts"
import { children, eventually, peakOf, samples, start, wav, withEngines } from "./engines.ts"

const engines = withEngines({ ffmpegPath: "ffmpeg" })

const speak = async (input: string, response_format: "mp3" | "wav" | "pcm") =>
  (
    await engines().client.audio.speech.create({ model: "tts-1", voice: "alloy", input, response_format })
  ).bytes()

const hearingFolders = () => readdirSync(tmpdir()).filter((name) => name.startsWith("voice-agent-hearing-"))
/** Of other processes of this machine, which may come and go. */
const before = new Set(hearingFolders())
const leftBehind = () => hearingFolders().filter((name) => !before.has(name))

describe("nothing outlives its request", () => {
  const long = "This is a rather long sentence that takes a while to be spoken by anyone. ".repeat(40)

  test("a hang-up while speaking ends both programs", async () => {
    const controller = new AbortController()
    const response = await engines().client.audio.speech.create(
      { model: "tts-1", voice: "alloy", input: long, response_format: "mp3" },
      { signal: controller.signal },
    )
    await response.body?.getReader().read()
    expect(children().length).toBeGreaterThan(0)
    controller.abort()
    expect(await eventually(() => children().length === 0)).toBe(true)
  })

  test("clients that do not read keep no program, and nobody waits for them", async () => {
    const controller = new AbortController()
    const speech = { model: "tts-1", voice: "alloy", input: long, response_format: "wav" } as const
    await Promise.all(
      Array.from({ length: 2 * availableParallelism() + 2 }, () =>
        engines().client.audio.speech.create(speech, { signal: controller.signal }),
      ),
    )
    expect((await speak("Next, please.", "pcm")).byteLength).toBeGreaterThan(10_000)
    expect(await eventually(() => children().length === 0)).toBe(true)
    controller.abort()
  })

  test("a hang-up while hearing ends the recogniser and takes its files along", async () => {
    const audio = await speak(long.slice(0, 2000), "wav")
    const controller = new AbortController()
    const heard = engines().client.audio.transcriptions.create(
      { model: "whisper-1", file: new File([new Uint8Array(audio)], "long.wav") },
      { signal: controller.signal },
    )
    expect(await eventually(() => children().some((line) => line.includes("pocketsphinx")))).toBe(true)
    controller.abort()
    expect(await heard.catch((error: unknown) => error)).toBeInstanceOf(OpenAI.APIUserAbortError)
    expect(await eventually(() => children().length === 0 && leftBehind().length === 0)).toBe(true)
  })

  test("many hang-ups at any moment leave nothing, and the engines still answer", async () => {
    await Promise.all(
      Array.from({ length: 60 }, async (_, index) => {
        const signal = AbortSignal.timeout(1 + index * 5)
        const speech = { model: "tts-1", voice: "alloy", input: long } as const
        await engines()
          .client.audio.speech.create(speech, { signal })
          .then((response) => response.bytes())
          .catch(() => undefined)
      }),
    )
    expect(await eventually(() => children().length === 0)).toBe(true)
    expect((await speak("Still here.", "pcm")).byteLength).toBeGreaterThan(10_000)
  })

  test("a load of requests queues for a few programs, and all are served", async () => {
    let most = 0
    const watching = setInterval(() => {
      most = Math.max(most, children().length)
    }, 25)
    const spoken = await Promise.all(Array.from({ length: 40 }, () => speak("Hello there.", "mp3")))
    clearInterval(watching)
    expect(spoken.every((audio) => audio.byteLength > 4000)).toBe(true)
    expect(most).toBeLessThanOrEqual(2 * Math.max(2, availableParallelism()))
    expect(children()).toEqual([])
  }, 20_000)

  test("the end of the scope ends what is under way, and the port is closed", async () => {
    const own = await start({ ffmpegPath: "ffmpeg" })
    const speech = await own.client.audio.speech.create({
      model: "tts-1",
      voice: "alloy",
      input: long,
      response_format: "mp3",
    })
    await speech.body?.getReader().read()
    await own.stop()
    expect(children()).toEqual([])
    await expect(fetch(`${own.baseUrl}/models`)).rejects.toThrow()
  })
})

test.skipIf(hostBounds().prlimit === null)("ffmpeg is confined as the one that decodes uploads", async () => {
  const folder = mkdtempSync(join(tmpdir(), "voice-agent-test-"))
  const ffmpegPath = join(folder, "ffmpeg")
  await Bun.write(ffmpegPath, "#!/bin/sh\ncat > /dev/null; pwd; ulimit -n; ulimit -d\n")
  chmodSync(ffmpegPath, 0o755)
  const own = await start({ ffmpegPath })
  const speech = { model: "tts-1", voice: "alloy", input: "Hello.", response_format: "pcm" } as const
  const said = await own.client.audio.speech.create(speech).then((response) => response.text())
  await own.stop()
  rmSync(folder, { recursive: true })
  expect(said.split("\n")).toEqual(["/", "64", `${256 * 1024}`, ""])
})

describe("a machine without the programs", () => {
  const ffmpegPath = Bun.which("ffmpeg") ?? "ffmpeg"

  const without = async <A>(use: (own: Awaited<ReturnType<typeof start>>) => Promise<A>): Promise<A> => {
    const searchPath = mkdtempSync(join(tmpdir(), "no-programs-"))
    const own = await start({ ffmpegPath, searchPath })
    return use(own).finally(async () => {
      await own.stop()
      rmSync(searchPath, { recursive: true })
    })
  }

  test("says that it cannot hear, and still tells silence from sound", () =>
    without(async (own) => {
      expect(own.hearing).toBe("none")
      const hear = async (pcm: Int16Array) =>
        (
          await own.client.audio.transcriptions.create({
            model: "whisper-1",
            file: new File([wav(pcm, 16_000)], "a.wav"),
          })
        ).text
      expect(
        await hear(Int16Array.from({ length: 16_000 }, (_, index) => 8000 * Math.sin(index / 5))),
      ).toContain("no speech recognition")
      expect(await hear(new Int16Array(16_000))).toBe("")
    }))

  test("speaks in tones, as long as the words would take", () =>
    without(async (own) => {
      expect(own.speaking).toBe("none")
      const speech = await own.client.audio.speech.create({
        model: "tts-1",
        voice: "alloy",
        input: "one two three four five six",
      })
      const pcm = await samples(await speech.bytes())
      expect(pcm.length / 24_000).toBeWithin(1.9, 2.2)
      expect(peakOf(pcm)).toBeGreaterThan(1000)
    }))

  test("does not start without ffmpeg, and says so", async () => {
    const exit = await Effect.runPromiseExit(
      Effect.scoped(startOfflineEngines({ ffmpegPath: "/nowhere/ffmpeg" })),
    )
    const failure = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined
    expect(failure?.message).toBe(
      'The offline engines need ffmpeg, and "/nowhere/ffmpeg" is not a program here.',
    )
  })
})
