import { describe, expect } from "bun:test"
import { Effect, Logger, LogLevel, TestClock } from "effect"
import { EngineFailed } from "../../src/providers/offline/engine/requests.ts"
import type { Engine } from "../../src/providers/offline/engine/supervisor.ts"
import { decodeBatch, encodeProbabilities } from "../../src/vad/silero/batch.ts"
import { makeStreams } from "../../src/vad/streams.ts"
import { effectTest } from "../support/effect.ts"
import { silence, sound } from "../support/listener.ts"

interface Script {
  /** What a request does before its answer. */
  readonly before?: (request: number) => Effect.Effect<void, EngineFailed>
  readonly isUsable?: () => boolean
}

/** Streams on an engine whose probability is the highest sample of a frame. */
const make = Effect.fnUntraced(function* ({
  before = () => Effect.void,
  isUsable = () => true,
}: Script = {}) {
  const batches: Array<ReturnType<typeof decodeBatch>> = []
  const engine: Engine = {
    run: (bytes) =>
      Effect.suspend(() => {
        const batch = decodeBatch(bytes)
        batches.push(batch)
        const answer = Float32Array.from(batch, ({ samples }) => Math.max(...samples) / 32_767)
        return Effect.as(before(batches.length), encodeProbabilities(answer))
      }),
    isUsable,
  }
  const openOne = yield* makeStreams(engine)
  const open = Effect.gen(function* () {
    const heard: Array<number> = []
    const stream = yield* openOne((probability) => void heard.push(Math.round(probability * 100)))
    return { ...stream, heard }
  })
  return { open, openOne, batches }
})

/** Steps of 1 % that tell frames apart. */
const frames = (...percents: ReadonlyArray<number>) =>
  Int16Array.from(percents.flatMap((percent) => [...sound(32, percent / 100)]))

const wait = TestClock.adjust(200)

describe("streams", () => {
  effectTest(
    "share a batch, and each gets its own answers in order",
    Effect.gen(function* () {
      const { open, batches } = yield* make()
      const [one, two] = [yield* open, yield* open]
      one.push(frames(20, 30, 40))
      two.push(frames(50, 60))
      yield* wait
      expect([one.heard, two.heard]).toEqual([
        [20, 30, 40],
        [50, 60],
      ])
      expect(batches.length).toBe(1)
    }),
  )

  effectTest(
    "samples in pieces of any size make the same frames",
    Effect.gen(function* () {
      const { open } = yield* make()
      const stream = yield* open
      const all = frames(20, 30, 40, 50)
      for (let at = 0, size = 1; at < all.length; at += size, size += 7)
        stream.push(all.subarray(at, at + size))
      yield* wait
      expect(stream.heard).toEqual([20, 30, 40, 50])
    }),
  )

  effectTest(
    "a long recording does not delay the others",
    Effect.gen(function* () {
      const { open, batches } = yield* make({ before: () => Effect.sleep(10) })
      const [long, short] = [yield* open, yield* open]
      long.push(frames(...Array.from({ length: 100 }, () => 30)))
      yield* TestClock.adjust(8)
      short.push(frames(40))
      yield* TestClock.adjust(20)
      expect(short.heard).toEqual([40])
      yield* wait
      expect(long.heard.length).toBe(100)
      expect(Math.max(...batches.map((batch) => batch.length))).toBeLessThanOrEqual(32)
    }),
  )

  effectTest(
    "many streams that are behind get as much each",
    Effect.gen(function* () {
      const { open, batches } = yield* make({ before: () => Effect.sleep(10) })
      const streams = yield* Effect.all(Array.from({ length: 200 }, () => open))
      for (const { push } of streams) push(frames(...Array.from({ length: 20 }, () => 30)))
      yield* TestClock.adjust(32)
      expect(new Set(batches[0]?.map(({ stream }) => stream)).size).toBe(200)
      yield* wait
      expect(streams.every(({ heard }) => heard.length === 20)).toBe(true)
    }),
  )

  effectTest(
    "reset drops what has no answer, and the next frame is a first one",
    Effect.gen(function* () {
      const { open, batches } = yield* make({ before: () => Effect.sleep(50) })
      const stream = yield* open
      stream.push(frames(20, 30))
      yield* TestClock.adjust(10)
      stream.push(frames(35))
      stream.push(sound(16, 0.9))
      stream.reset()
      stream.push(frames(40))
      yield* wait
      expect(stream.heard).toEqual([40])
      expect(batches.map((batch) => batch.map(({ isFirst }) => isFirst))).toEqual([[true, false], [true]])
    }),
  )

  effectTest(
    "numbers of closed streams are used again, and begin anew",
    Effect.gen(function* () {
      const { open, batches } = yield* make()
      for (let count = 0; count < 50; count++) {
        const stream = yield* open.pipe(
          Effect.tap(({ push }) =>
            Effect.zipRight(
              Effect.sync(() => push(frames(30))),
              TestClock.adjust(40),
            ),
          ),
          Effect.scoped,
        )
        expect(stream.heard).toEqual([30])
      }
      expect(batches.length).toBe(50)
      expect(batches.flat().every(({ stream, isFirst }) => stream === 0 && isFirst)).toBe(true)
    }),
  )

  effectTest(
    "a fault of one does not end the others",
    Effect.gen(function* () {
      const { open, openOne } = yield* make()
      const broken = yield* openOne(() => {
        throw new Error("a bug")
      })
      const stream = yield* open
      broken.push(frames(20, 30))
      stream.push(frames(40))
      yield* wait
      stream.push(frames(50))
      yield* wait
      expect(stream.heard).toEqual([40, 50])
    }).pipe(Logger.withMinimumLogLevel(LogLevel.None)),
  )

  effectTest(
    "silence costs no request, and its end does",
    Effect.gen(function* () {
      const { open, batches } = yield* make()
      const stream = yield* open
      stream.push(silence(12))
      yield* wait
      const before = batches.flat().length
      stream.push(silence(100))
      yield* wait
      expect(batches.flat().length).toBe(before)
      stream.push(frames(30))
      yield* wait
      expect(stream.heard).toEqual([...Array.from({ length: 112 }, () => 0), 30])
    }),
  )
})

describe("an engine", () => {
  effectTest(
    "that ends is asked again",
    Effect.gen(function* () {
      const { open } = yield* make({
        before: (request) => (request === 1 ? new EngineFailed({ reason: "killed" }) : Effect.void),
      })
      const stream = yield* open
      stream.push(frames(20, 30))
      yield* wait
      expect(stream.heard).toEqual([20, 30])
    }),
  )

  effectTest(
    "that does not answer is replaced by the loudness, and tried again later",
    Effect.gen(function* () {
      const { open, batches } = yield* make({
        before: (request) => (request === 1 ? Effect.never : Effect.void),
      })
      const stream = yield* open
      stream.push(frames(20))
      yield* TestClock.adjust(2100)
      expect(stream.heard.length).toBe(1)
      stream.push(frames(20, 20))
      yield* wait
      expect(stream.heard.length).toBe(3)
      expect(batches.length).toBe(1)
      yield* TestClock.adjust(7000)
      stream.push(frames(44))
      yield* wait
      expect(stream.heard.at(-1)).toBe(44)
    }),
  )

  effectTest(
    "that has failed is not asked",
    Effect.gen(function* () {
      const { open, batches } = yield* make({ isUsable: () => false })
      const stream = yield* open
      stream.push(silence(10))
      stream.push(frames(30, 30))
      yield* wait
      expect(stream.heard.slice(0, 10).every((percent) => percent === 0)).toBe(true)
      expect(stream.heard.slice(10).every((percent) => percent > 90)).toBe(true)
      expect(batches).toEqual([])
    }),
  )

  effectTest(
    "that is too slow leaves frames that wait for 2 s to the loudness",
    Effect.gen(function* () {
      const { open, batches } = yield* make({ before: () => Effect.sleep(900) })
      const stream = yield* open
      stream.push(frames(...Array.from({ length: 100 }, () => 30)))
      yield* TestClock.adjust(3000)
      expect(stream.heard.length).toBe(100)
      expect(stream.heard.slice(0, 48).every((percent) => percent === 30)).toBe(true)
      expect(batches.flat().length).toBe(48)
    }),
  )

  effectTest(
    "that is behind keeps a minute of each stream, and the order",
    Effect.gen(function* () {
      const { open, batches } = yield* make({ before: () => Effect.sleep(1) })
      const stream = yield* open
      for (let count = 0; count < 2500; count++) stream.push(sound(32, (count % 90) / 100 + 0.01))
      yield* TestClock.adjust(1000)
      expect(stream.heard.length).toBe(2500)
      expect(stream.heard.slice(0, 2000)).toEqual(Array.from({ length: 2000 }, (_, at) => (at % 90) + 1))
      expect(batches.flat().length).toBe(2000)
    }),
  )
})
