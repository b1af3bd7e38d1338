import { afterAll, describe, expect, test } from "bun:test"
import { chmodSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs"
import { availableParallelism, tmpdir } from "node:os"
import { join } from "node:path"
import { Cause, Effect, Exit, Option, Runtime } from "effect"
import { hostBounds } from "../../../src/ffmpeg/sandbox.ts"
import { command, pipeline } from "../../../src/providers/offline/children.ts"
import { makeOfflineEngines } from "../../../src/providers/offline/engines.ts"
import { talker } from "../../../src/providers/offline/thinking.ts"
import { setTmpdir } from "../../support/turns.ts"
import { children, eventually, noModels, peakOf, samples, start, wishes, withEngines } from "./engines.ts"

const engines = withEngines({ ffmpegPath: "ffmpeg" })

/** Of these engines alone: other processes of this machine have theirs elsewhere. */
const folder = mkdtempSync(join(tmpdir(), "voice-agent-test-"))
const restoreTmpdir = setTmpdir(folder)
afterAll(() => {
  restoreTmpdir()
  rmSync(folder, { recursive: true })
})
const leftBehind = () => readdirSync(folder).filter((name) => name.startsWith("voice-agent-"))

describe("nothing outlives its request", () => {
  const long = "This is a rather long sentence that takes a while to be spoken by anyone. ".repeat(40)

  test("an interruption while speaking ends both programs, and no audio follows it", async () => {
    const controller = new AbortController()
    const { promise: begins, resolve } = Promise.withResolvers<void>()
    let chunks = 0
    const onAudio = () => {
      chunks += 1
      resolve()
    }
    const spoken = engines().speak(long, { format: "mp3", signal: controller.signal, onAudio })
    await begins
    expect(children().length).toBeGreaterThan(0)
    controller.abort()
    const chunksBefore = chunks
    await expect(spoken).rejects.toThrow()
    expect(children()).toEqual([])
    expect(chunks).toBe(chunksBefore)
  })

  test("an interruption while hearing ends the recognizer and takes its files along", async () => {
    const audio = await samples(await engines().speak(long.slice(0, 600)), "pcm", 16_000)
    const controller = new AbortController()
    const heard = engines().hear(audio, controller.signal)
    expect(await eventually(() => children().some((line) => line.includes("pocketsphinx")))).toBe(true)
    // So that a start after a kill -9 removes it.
    expect(leftBehind()[0]).toStartWith(`voice-agent-${process.pid}-`)
    controller.abort()
    await expect(heard).rejects.toThrow()
    expect(children()).toEqual([])
    expect(leftBehind()).toEqual([])
  })

  test("many interruptions at any moment leave nothing, and the engines still answer", async () => {
    await Promise.all(
      Array.from({ length: 30 }, (_, index) =>
        engines()
          .speak(long, { signal: AbortSignal.timeout(1 + index * 10) })
          .catch(() => undefined),
      ),
    )
    expect(children()).toEqual([])
    expect((await engines().speak("Still here.")).byteLength).toBeGreaterThan(10_000)
  })

  test("a load of requests queues for a few programs, and all are served", async () => {
    let most = 0
    const watching = setInterval(() => {
      most = Math.max(most, children().length)
    }, 25)
    const all = Array.from({ length: 20 }, () => engines().speak("Hello there.", { format: "mp3" }))
    const spoken = await Promise.all(all)
    clearInterval(watching)
    expect(spoken.every((audio) => audio.byteLength > 4000)).toBe(true)
    expect(most).toBeLessThanOrEqual(2 * Math.max(2, availableParallelism()))
    expect(children()).toEqual([])
  }, 20_000)

  test("the scope ends after what is under way", async () => {
    const own = await start({ ffmpegPath: "ffmpeg" })
    // Long enough to be seen at work on a busy machine.
    const spoken = own.speak(long.slice(0, 600))
    expect(await eventually(() => children().length > 0)).toBe(true)
    await own.stop()
    expect(children()).toEqual([])
    expect((await spoken).byteLength).toBeGreaterThan(10_000)
  })
})

test.skipIf(hostBounds().prlimit === null)("the programs are confined", async () => {
  const folder = mkdtempSync(join(tmpdir(), "voice-agent-test-"))
  const path = join(folder, "espeak-ng")
  const limits = "ulimit -t; ulimit -d; ulimit -f; ulimit -n; ulimit -c"
  await Bun.write(path, `#!/bin/sh\ncat > /dev/null; pwd; env | grep -c KEY; ${limits}; ps -o pgid= -p $$\n`)
  chmodSync(path, 0o755)
  process.env.SOME_KEY = "secret"
  const said: Array<string> = []
  const run = pipeline([command(path, [])], [], (bytes) => said.push(new TextDecoder().decode(bytes)))
  await Effect.runPromise(run)
  delete process.env.SOME_KEY
  rmSync(folder, { recursive: true })
  const [cwd, keys, cpu, data, file, open, core, group] = said.join("").split("\n")
  expect([cwd, keys, cpu, data, open, core]).toEqual(["/", "0", "60", `${512 * 1024}`, "64", "0"])
  expect(Number(file)).toBeGreaterThan(0)
  const own = Bun.spawnSync(["ps", "-o", "pgid=", "-p", `${process.pid}`]).stdout.toString()
  expect(Number(group)).not.toBe(Number(own))
})

test("a program that fails by itself is not asked again, and one that is killed is", async () => {
  const failed = (script: string) =>
    Effect.runPromise(Effect.flip(pipeline([command("sh", ["-c", script])], [])))
  expect(await failed("echo broken >&2; exit 3")).toMatchObject({ reason: "broken", wasKilled: false })
  expect(await failed("kill -9 $$")).toMatchObject({ reason: "ended with SIGKILL", wasKilled: true })
})

test.skipIf(hostBounds().prlimit === null)("ffmpeg is confined as the one that decodes uploads", async () => {
  const folder = mkdtempSync(join(tmpdir(), "voice-agent-test-"))
  const ffmpegPath = join(folder, "ffmpeg")
  await Bun.write(ffmpegPath, "#!/bin/sh\ncat > /dev/null; pwd; ulimit -n; ulimit -d\n")
  chmodSync(ffmpegPath, 0o755)
  const own = await start({ ffmpegPath })
  const said = `${await own.speak("Hello.")}`
  await own.stop()
  rmSync(folder, { recursive: true })
  expect(said.split("\n")).toEqual(["/", "64", `${256 * 1024}`, ""])
})

/** The error of a promise of the engines. */
const failureOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) =>
      Runtime.isFiberFailure(error) ? Cause.squash(error[Runtime.FiberFailureCauseId]) : error,
  )

describe("a machine without the programs", () => {
  const ffmpegPath = Bun.which("ffmpeg") ?? "ffmpeg"

  const without = async <A>(
    use: (own: Awaited<ReturnType<typeof start>>, searchPath: string) => Promise<A>,
    ...but: ReadonlyArray<string>
  ): Promise<A> => {
    const searchPath = mkdtempSync(join(tmpdir(), "no-programs-"))
    for (const program of but) symlinkSync(Bun.which(program) ?? "", join(searchPath, program))
    const own = await start({ ffmpegPath, searchPath })
    return use(own, searchPath).finally(async () => {
      await own.stop()
      rmSync(searchPath, { recursive: true })
    })
  }

  const tone = Int16Array.from({ length: 16_000 }, (_, index) => 8000 * Math.sin(index / 5))

  test("fails where it cannot hear, and makes up no words", () =>
    without(async (own) => {
      expect(own.names.stt()).toBe("none")
      expect(await failureOf(own.hear(tone))).toMatchObject({ kind: "no-recognizer", retryable: false })
      expect(await own.hear(new Int16Array(16_000))).toBe("")
    }))

  test.each(["Hello there.", "Добрый день.", "42", "你好", "e\u0301"])(
    "fails where it cannot speak %j",
    (text) =>
      without(async (own) => {
        expect(own.names.tts()).toBe("none")
        expect(await failureOf(own.speak(text))).toMatchObject({ kind: "no-voice", retryable: false })
      }),
  )

  test.each(["flite", "espeak-ng", ""])("a text without words is silence: %s", (program) =>
    without(
      async (own) => {
        for (const text of ["", "…", "。", "\u0000"]) {
          const pcm = await samples(await own.speak(text), "pcm")
          expect(pcm.length / 24_000).toBeWithin(0.2, 1)
        }
      },
      ...(program === "" ? [] : [program]),
    ),
  )

  test("flite alone leaves out what it cannot speak, and fails where that is all", () =>
    without(async (own) => {
      for (const text of ["About ½ cup → now.", "Hello 😀!", "It is called Добрый день."]) {
        expect(peakOf(await samples(await own.speak(text), "pcm"))).toBeGreaterThan(1000)
      }
      for (const text of ["Добрый день.", "你好。"]) {
        expect(await failureOf(own.speak(text))).toMatchObject({ kind: "no-voice" })
      }
    }, "flite"))

  test.each(["flite", "espeak-ng"])("speaks with %s alone", (program) =>
    without(async (own) => {
      expect(own.names.tts()).toBe(program)
      for (const text of ["Hello there. How are you?", "Guten Tag, wie geht es Ihnen?"]) {
        expect(peakOf(await samples(await own.speak(text), "pcm"))).toBeGreaterThan(1000)
      }
    }, program),
  )

  const reasonOf = (failing: Promise<unknown>) =>
    failing.then(
      () => "nothing failed",
      (failure: unknown) => `${failure}`,
    )
  const programs = ["flite", "espeak-ng", "pocketsphinx_batch"]

  test("one that is removed while the service runs fails its requests", () =>
    without(
      async (own, searchPath) => {
        for (const program of programs) rmSync(join(searchPath, program))
        const tone = Int16Array.from({ length: 16_000 }, (_, index) => 8000 * Math.sin(index / 5))
        expect(await reasonOf(own.hear(tone))).toMatch(/ProviderUnusable: .*"stt".*pocketsphinx.*ENOENT/s)
        for (const text of ["Hello there.", "Guten Tag, wie geht es Ihnen?"]) {
          expect(await reasonOf(own.speak(text))).toMatch(/ProviderUnusable: .*"tts".*ENOENT/s)
        }
      },
      ...programs,
    ))

  test("an ffmpeg that is removed fails its requests", async () => {
    const link = join(mkdtempSync(join(tmpdir(), "no-programs-")), "ffmpeg")
    symlinkSync(ffmpegPath, link)
    const own = await start({ ffmpegPath: link })
    rmSync(link)
    expect(await reasonOf(own.speak("Hello there."))).toMatch(/ProviderUnusable: .*"tts".*ffmpeg/s)
    await own.stop()
  })

  test("does not start without ffmpeg, and says so", async () => {
    const exit = await Effect.runPromiseExit(
      Effect.scoped(
        makeOfflineEngines({
          ffmpegPath: "/nowhere/ffmpeg",
          library: noModels,
          stages: [],
          thinking: talker,
          ...wishes,
        }),
      ),
    )
    const failure = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined
    expect(failure?.message).toBe(
      'The offline engines need ffmpeg, and "/nowhere/ffmpeg" is not a program here.',
    )
  })
})
