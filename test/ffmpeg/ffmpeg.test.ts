import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { chmodSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Either, Fiber, TestClock } from "effect"
import { needsFfmpeg } from "../../src/ffmpeg/ffmpeg.ts"
import { hostBounds } from "../../src/ffmpeg/sandbox.ts"
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
import { isAlive } from "../support/ffmpeg-witness.ts"
import { until } from "../support/turns.ts"
import { silence, speechLike, wavOf } from "../support/wav.ts"

const patience = 30_000
const made = (make: () => Promise<Uint8Array>) => Effect.promise(make)
const waitFor = (look: () => boolean | Promise<boolean>, what: string) =>
  Effect.promise(() => until(look, what))

type Decoding = Effect.Effect.Success<ReturnType<typeof startDecoding>>
/** The living ffmpegs are for these demuxers, the last for what was recorded last. */
const waitingAre = ({ waiting }: Decoding, ...demuxers: ReadonlyArray<string>) =>
  waitFor(async () => (await waiting()) === demuxers.join(", "), `those for ${demuxers.join(", ")}`)
/** As many starts in all, and the last of them lives. */
const restarted = ({ starts }: Decoding, times: number) =>
  waitFor(() => starts().length === times && isAlive(starts().at(-1) ?? 0), `${times} starts of ffmpeg`)

/**
 * An MP3's Info frame says how much of its end is padding; ffmpeg heeds that only where it can search the file. Less
 * than a frame, in samples.
 */
const mostPadding = 1152

describe("a recording is the same to one that waited, to one started for it, and to plain ffmpeg", () => {
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
          // From here on one that is started does not decode.
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
      patience,
    )
  }
})

describe("those that wait", () => {
  effectTest(
    "are one for WebM at first, and then those for what was recorded last",
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
      // Read from its file: none can wait for it.
      yield* decoding.decode(yield* made(m4aLonger))
      yield* waitingAre(decoding, "flac", "mov")
    }),
    patience,
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
    patience,
  )

  effectTest(
    "are replaced when the decoding is over, not during it",
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
      expect(isAlive(first)).toBe(false)
      yield* restarted(decoding, 2)
    }),
    patience,
  )

  effectTest(
    "are never handed out dead",
    Effect.gen(function* () {
      const decoding = yield* startDecoding()
      yield* restarted(decoding, 1)
      const [first = 0] = decoding.starts()
      process.kill(first, "SIGKILL")
      yield* waitFor(() => !isAlive(first), "its end")
      expect(yield* decoding.decode(yield* made(webmOpus))).toHaveLength(64_000)
      yield* restarted(decoding, 3)
    }),
    patience,
  )

  effectTest(
    "are two at most, however many recordings come at once, and end with the service",
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
    patience,
  )

  effectTest(
    "are in no process group of the service's, whose terminal may send a Ctrl-C to it",
    Effect.gen(function* () {
      const decoding = yield* startDecoding()
      yield* restarted(decoding, 1)
      const [first] = decoding.starts()
      const ps = Bun.spawn(["ps", "-o", "pgid=", "-p", `${first}`])
      expect(Number(yield* Effect.promise(() => ps.stdout.text()))).toBe(first ?? 0)
    }),
    patience,
  )
})

describe("one that a recording was handed to", () => {
  effectTest(
    "ends with it",
    Effect.gen(function* () {
      const decoding = yield* startDecoding()
      yield* restarted(decoding, 1)
      const [first = 0] = decoding.starts()
      process.kill(first, "SIGSTOP")
      const running = yield* Effect.fork(decoding.decode(yield* made(webmOpus)))
      yield* Effect.promise(() => Bun.sleep(50))
      yield* Fiber.interrupt(running)
      expect(isAlive(first)).toBe(false)
      yield* restarted(decoding, 2)
    }),
    patience,
  )

  effectTest(
    "has 20 s from then on, however long it has waited",
    Effect.gen(function* () {
      const decoding = yield* startDecoding()
      yield* restarted(decoding, 1)
      yield* TestClock.adjust("1 day")
      const [first = 0] = decoding.starts()
      process.kill(first, "SIGSTOP")
      const running = yield* Effect.fork(Effect.either(decoding.decode(yield* made(webmOpus))))
      // Validation reads the file in real time, and the clock must not move before the decoding has begun.
      yield* Effect.promise(() => Bun.sleep(100))
      yield* TestClock.adjust("19 seconds")
      expect(yield* Fiber.poll(running)).toMatchObject({ _tag: "None" })
      yield* TestClock.adjust("1 second")
      expect(Either.isLeft(yield* Fiber.join(running))).toBe(true)
      expect(isAlive(first)).toBe(false)
    }),
    patience,
  )

  effectTest(
    "is read for a second more than is allowed, and not to its end",
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
      // A new rate makes ffmpeg count anew.
      const chained = yield* decoding.decode(Buffer.concat(Array(20).fill(pieces).flat()))
      expect(chained.length / 32_000).toBeGreaterThan(5)
      expect(chained.length / 32_000).toBeLessThan(10)
    }),
    patience,
  )
})

effectTest(
  "one that the system kills is not the recording's fault",
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
  patience,
)

effectTest(
  "a 16 kHz mono 16-bit WAV is read without ffmpeg, up to a second more than is allowed",
  Effect.gen(function* () {
    const decoding = yield* startDecoding({ FFMPEG_WARM: "0", MAX_AUDIO_DURATION_SECONDS: "2" })
    const short = wavOf(speechLike(0.5))
    expect(yield* decoding.decode(short)).toEqual(short.slice(44))
    expect(yield* decoding.decode(wavOf(silence(10)))).toHaveLength(3 * 32_000)
    expect(decoding.starts()).toEqual([])
  }),
)

describe("there is no start", () => {
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
    ["misses a library", "echo no such library >&2; exit 127", "ffmpeg can't be run: no such library"],
    ["says nothing", "exit 3", "ffmpeg ended with 3"],
    ["is killed", "kill -KILL $$", "it was killed"],
    ["is another program", "echo hello", "it does not print its version"],
  ])("with one that does not run: it %s", async (_, script, reason) => {
    const path = await program(`#!/bin/sh\n${script}\n`)
    expect(await refusal(path)).toBe(
      `The ffmpeg at "${path}" does not run here: ${reason}. Install another, or set FFMPEG_PATH.`,
    )
  })

  test("with one that is no program", async () => {
    const path = await program("\0")
    expect(await refusal(path)).toContain(`The ffmpeg at "${path}" does not run here: `)
  })

  test.skipIf(hostBounds().prlimit === null)("with one that needs more than its bounds", async () => {
    const hungry = "exec dd if=/dev/zero of=/dev/null bs=300M count=1"
    const path = await program(`#!/bin/sh\n${hungry}\n`)
    expect(await refusal(path)).toMatch(/does not run here: .*memory exhausted/)
  })
})
