import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { chmodSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Either, Fiber, TestClock } from "effect"
import { needsFfmpeg } from "../../src/ffmpeg/ffmpeg.ts"
import { hostBounds } from "../../src/ffmpeg/sandbox.ts"
import { processExists } from "../../src/process.ts"
import {
  chromiumWebm,
  flac,
  m4aFaststart,
  m4aLonger,
  oggOpus,
  recordings,
  webmOpus,
} from "../support/audio.ts"
import { startDecoding } from "../support/decoding.ts"
import { effectTest } from "../support/effect.ts"
import { ffmpeg, decode as plainDecode } from "../support/ffmpeg.ts"
import { until } from "../support/turns.ts"
import { silence, speechLike, wavOf } from "../support/wav.ts"

const timeout = 30_000
const made = (make: () => Promise<Uint8Array>) => Effect.promise(make)
const waitFor = (look: () => boolean | Promise<boolean>, what: string) =>
  Effect.promise(() => until(look, what))

type Decoding = Effect.Effect.Success<ReturnType<typeof startDecoding>>
/** Waits until the live ffmpegs are for these demuxers, in the order of their starts. */
const waitingAre = ({ waiting }: Decoding, ...demuxers: ReadonlyArray<string>) =>
  waitFor(async () => (await waiting()) === demuxers.join(", "), `those for ${demuxers.join(", ")}`)
/** Waits until there were this many starts, and the last one is alive. */
const restarted = ({ starts }: Decoding, times: number) =>
  waitFor(() => starts().length === times && processExists(starts().at(-1) ?? 0), `${times} starts of ffmpeg`)

/**
 * Samples of padding at the end of an MP3: less than a frame. Its Info frame gives the number, but ffmpeg uses it only in
 * a file that it can seek.
 */
const mostPadding = 1152

describe("a warm decoder, a new one and plain ffmpeg agree on", () => {
  for (const [name, { make, format, seconds }] of Object.entries(recordings)) {
    effectTest(
      name,
      Effect.gen(function* () {
        const bytes = yield* made(make)
        const cold = yield* startDecoding({ FFMPEG_WARM: "0" })
        const warm = yield* startDecoding({ FFMPEG_WARM: "1" })
        const recording = yield* cold.uploaded(bytes)
        const first = yield* cold.decode(bytes)
        expect(yield* warm.decode(bytes)).toEqual(first)
        if (recording.readFrom === "pipe" && needsFfmpeg(recording)) {
          // From here on, only a warm ffmpeg decodes.
          yield* waitingAre(warm, recording.demuxer)
          warm.hangs(true)
          expect(yield* warm.decode(bytes)).toEqual(first)
        }
        const plain = yield* Effect.promise(() => plainDecode(bytes, { rate: 16_000, from: "file" }))
        const samples = first.length / 2
        if (format === "mp3") expect(samples - plain.samples.length).toBeWithin(0, mostPadding)
        else expect(samples).toBe(plain.samples.length)
        expect(samples / 16_000).toBeCloseTo(seconds, 0)
      }),
      timeout,
    )
  }
})

describe("warm decoders", () => {
  effectTest(
    "are one for WebM at first, then those used last",
    Effect.gen(function* () {
      const decoding = yield* startDecoding()
      yield* waitingAre(decoding, "matroska")
      yield* decoding.decode(yield* made(oggOpus))
      yield* waitingAre(decoding, "matroska", "ogg")
      yield* decoding.decode(yield* made(webmOpus))
      yield* waitingAre(decoding, "ogg", "matroska")
      yield* decoding.decode(yield* made(flac))
      yield* waitingAre(decoding, "matroska", "flac")
      yield* decoding.decode(yield* made(m4aFaststart))
      yield* waitingAre(decoding, "flac", "mov")
      // Read from its file, so no decoder can wait for it.
      yield* decoding.decode(yield* made(m4aLonger))
      yield* waitingAre(decoding, "flac", "mov")
    }),
    timeout,
  )

  effectTest(
    "are none with FFMPEG_WARM=0, and one with 1",
    Effect.gen(function* () {
      const none = yield* startDecoding({ FFMPEG_WARM: "0" })
      yield* none.decode(yield* made(webmOpus))
      expect(none.starts()).toHaveLength(1)
      expect(none.alive()).toEqual([])
      const one = yield* startDecoding({ FFMPEG_WARM: "1" })
      yield* one.decode(yield* made(flac))
      yield* waitingAre(one, "flac")
      expect(none.starts()).toHaveLength(1)
    }),
    timeout,
  )

  effectTest(
    "are replaced after the decoding, not during it",
    Effect.gen(function* () {
      const decoding = yield* startDecoding()
      yield* restarted(decoding, 1)
      const [first = 0] = decoding.starts()
      process.kill(first, "SIGSTOP")
      const running = yield* Effect.fork(decoding.decode(yield* made(chromiumWebm)))
      yield* Effect.promise(() => Bun.sleep(200))
      expect(decoding.starts()).toEqual([first])
      process.kill(first, "SIGCONT")
      yield* Fiber.join(running)
      expect(processExists(first)).toBe(false)
      yield* restarted(decoding, 2)
    }),
    timeout,
  )

  effectTest(
    "are not used if they have died",
    Effect.gen(function* () {
      const decoding = yield* startDecoding()
      yield* restarted(decoding, 1)
      const [first = 0] = decoding.starts()
      process.kill(first, "SIGKILL")
      yield* waitFor(() => !processExists(first), "its end")
      expect(yield* decoding.decode(yield* made(webmOpus))).toHaveLength(64_000)
      yield* restarted(decoding, 3)
    }),
    timeout,
  )

  effectTest(
    "are two at most, and end with the service",
    Effect.gen(function* () {
      const decoding = yield* startDecoding()
      const recordings = yield* Effect.forEach([webmOpus, oggOpus, flac], made)
      const most = { waiting: 0 }
      const rounds = Array.from({ length: 20 }, (_, n) => recordings[n % 3] ?? new Uint8Array())
      yield* Effect.forEach(rounds, (bytes) => decoding.decode(bytes), { concurrency: "unbounded" })
      yield* Effect.promise(async () => {
        for (let look = 0; look < 50; look++) {
          most.waiting = Math.max(most.waiting, decoding.alive().length)
          await Bun.sleep(10)
        }
      })
      expect(most.waiting).toBeLessThanOrEqual(2)
      yield* decoding.stop
      expect(decoding.alive()).toEqual([])
    }),
    timeout,
  )

  effectTest(
    "are not in the service's process group, which gets a Ctrl-C",
    Effect.gen(function* () {
      const decoding = yield* startDecoding()
      yield* restarted(decoding, 1)
      const [first] = decoding.starts()
      const ps = Bun.spawn(["ps", "-o", "pgid=", "-p", `${first}`])
      expect(Number(yield* Effect.promise(() => ps.stdout.text()))).toBe(first ?? 0)
    }),
    timeout,
  )
})

describe("a decoder with a recording", () => {
  effectTest(
    "ends when its turn is interrupted",
    Effect.gen(function* () {
      const decoding = yield* startDecoding()
      yield* restarted(decoding, 1)
      const [first = 0] = decoding.starts()
      process.kill(first, "SIGSTOP")
      const running = yield* Effect.fork(decoding.decode(yield* made(webmOpus)))
      yield* Effect.promise(() => Bun.sleep(50))
      yield* Fiber.interrupt(running)
      expect(processExists(first)).toBe(false)
      yield* restarted(decoding, 2)
    }),
    timeout,
  )

  effectTest(
    "has 20 s from its first input",
    Effect.gen(function* () {
      const decoding = yield* startDecoding()
      yield* restarted(decoding, 1)
      yield* TestClock.adjust("1 day")
      const [first = 0] = decoding.starts()
      process.kill(first, "SIGSTOP")
      const running = yield* Effect.fork(Effect.either(decoding.decode(yield* made(webmOpus))))
      // `identify` reads the file in real time, and the clock must not move before the decoding starts.
      yield* Effect.promise(() => Bun.sleep(100))
      yield* TestClock.adjust("19 seconds")
      expect(yield* Fiber.poll(running)).toMatchObject({ _tag: "None" })
      yield* TestClock.adjust("1 second")
      expect(Either.isLeft(yield* Fiber.join(running))).toBe(true)
      expect(processExists(first)).toBe(false)
    }),
    timeout,
  )

  effectTest(
    "decodes one second more than the limit, and not to the end",
    Effect.gen(function* () {
      const decoding = yield* startDecoding({ MAX_AUDIO_DURATION_SECONDS: "5" })
      const long = wavOf(silence(140, 48_000), { rate: 48_000, channels: 2 })
      expect(yield* decoding.decode(long)).toHaveLength(6 * 32_000)
      const pieces = yield* Effect.promise(() =>
        Promise.all(
          ["16000", "48000"].map((rate) =>
            ffmpeg(["-f", "lavfi", "-i", `sine=d=4:r=${rate}`, "-c:a", "libvorbis", "-f", "ogg", "pipe:1"]),
          ),
        ),
      )
      // A new sampling rate restarts ffmpeg's count.
      const chained = yield* decoding.decode(Buffer.concat(Array(20).fill(pieces).flat()))
      expect(chained.length / 32_000).toBeGreaterThan(5)
      expect(chained.length / 32_000).toBeLessThan(10)
    }),
    timeout,
  )
})

effectTest(
  "a killed ffmpeg is not the recording's fault",
  Effect.gen(function* () {
    const decoding = yield* startDecoding()
    yield* restarted(decoding, 1)
    const [first = 0] = decoding.starts()
    process.kill(first, "SIGSTOP")
    const running = yield* Effect.fork(Effect.either(decoding.decode(yield* made(chromiumWebm))))
    yield* Effect.promise(() => Bun.sleep(100))
    process.kill(first, "SIGKILL")
    expect(yield* Fiber.join(running)).toMatchObject({ left: { _tag: "FfmpegKilled" } })
  }),
  timeout,
)

effectTest(
  "a 16 kHz mono 16-bit WAV is read without ffmpeg, up to one second more than the limit",
  Effect.gen(function* () {
    const decoding = yield* startDecoding({ FFMPEG_WARM: "0", MAX_AUDIO_DURATION_SECONDS: "2" })
    const short = wavOf(speechLike(0.5))
    expect(yield* decoding.decode(short)).toEqual(short.slice(44))
    expect(yield* decoding.decode(wavOf(silence(10)))).toHaveLength(3 * 32_000)
    expect(decoding.starts()).toEqual([])
  }),
)

describe("the service does not start", () => {
  const refusal = async (FFMPEG_PATH: string) => {
    const said = await Effect.runPromise(Effect.flip(Effect.scoped(startDecoding({ FFMPEG_PATH }))))
    return said.message
  }
  const program = async (text: string) => {
    const path = join(folder, crypto.randomUUID())
    await Bun.write(path, text)
    chmodSync(path, 0o755)
    return path
  }
  let folder = ""
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "voice-agent-test-"))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  test("without an ffmpeg", async () => {
    expect(await refusal("/no/ffmpeg")).toContain('There is no ffmpeg at "/no/ffmpeg"')
  })

  test.each([
    ["says why", "echo 'no room for it' >&2; exit 1", "no room for it"],
    ["says it on two lines", "echo 'no room' >&2; echo 'for it' >&2; exit 1", "no room for it"],
    ["misses a library", "echo no such library >&2; exit 127", "ffmpeg cannot be executed: no such library"],
    ["says nothing", "exit 3", "ffmpeg ended with 3"],
    ["is killed", "kill -KILL $$", "it was killed"],
    ["is another program", "echo hello", "it does not print its version"],
  ])("with an ffmpeg that %s", async (_, script, reason) => {
    const path = await program(`#!/bin/sh\n${script}\n`)
    expect(await refusal(path)).toBe(
      `The ffmpeg at "${path}" does not run here: ${reason}. Install another, or set FFMPEG_PATH.`,
    )
  })

  test("with an ffmpeg that is not a program", async () => {
    const path = await program("\0")
    expect(await refusal(path)).toContain(`The ffmpeg at "${path}" does not run here: `)
  })

  test.skipIf(hostBounds().prlimit === null)("with an ffmpeg that needs more than its limits", async () => {
    const hungry = "exec dd if=/dev/zero of=/dev/null bs=300M count=1"
    const path = await program(`#!/bin/sh\n${hungry}\n`)
    expect(await refusal(path)).toMatch(/does not run here: .*memory exhausted/)
  })
})
