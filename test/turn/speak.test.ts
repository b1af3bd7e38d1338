import { expect } from "bun:test"
import { Clock, Effect, Fiber, Stream, TestClock } from "effect"
import { wrongAnswer } from "../../src/providers/errors.ts"
import type { Synthesizer } from "../../src/providers/synthesizer.ts"
import { newId, TurnId } from "../../src/schema.ts"
import { speak } from "../../src/turn/speak.ts"
import { effectTest } from "../support/effect.ts"
import { tenth } from "../support/fake-turns.ts"

const segments = ["one", "two", "three", "four"]

interface Server {
  /** Ms from the request to the speech, by text. */
  readonly delays: Readonly<Record<string, number>>
  /** The first request of these texts fails once it holds its slot. */
  readonly failing?: ReadonlyArray<string>
}

/** Speaks the segments by a server that holds its slot for 100 ms. `free` slots exist. */
const speakBy = Effect.fnUntraced(function* ({ delays, failing = [] }: Server, free = 1) {
  const slots = yield* Effect.makeSemaphore(free)
  const log: Array<string> = []
  const failed = new Set<string>()
  let most = 0
  let held = 0
  const conversionSlot = Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      yield* restore(slots.take(1))
      held += 1
      most = Math.max(most, held)
      yield* Effect.addFinalizer(() => {
        held -= 1
        return slots.release(1)
      })
    }),
  )
  const synthesizer: Synthesizer["Type"] = {
    status: Effect.succeed("ok" as const),
    model: Effect.succeed("m"),
    speak: (text, { conversionSlot = Effect.void }, open) =>
      Effect.gen(function* () {
        const take = open()
        yield* Effect.sleep(delays[text] ?? 0)
        yield* conversionSlot
        log.push(text)
        yield* Effect.sleep(100)
        if (failing.includes(text) && !failed.has(text)) {
          failed.add(text)
          return yield* wrongAnswer("tts", "scripted")
        }
        take(tenth)
      }).pipe(Effect.scoped),
  }
  const options = {
    turnId: newId(TurnId),
    model: "m",
    voice: "v",
    output: { format: "pcm" },
    streaming: false,
    conversionSlot,
  } as const
  const fiber = yield* Effect.fork(
    speak(
      Stream.fromIterable(segments.map((text, index) => ({ index, text, spoken: text }))),
      synthesizer,
      options,
      {
        onAudio: () => Effect.void,
        aheadMs: () => 0,
        onSegmentDone: () => Effect.void,
      },
    ),
  )
  return { fiber, log, slots, most: () => most, held: () => held }
})

effectTest(
  "conversions start in the order of the segments, one at a time, whichever answer comes first",
  Effect.gen(function* () {
    const { fiber, log, most } = yield* speakBy({ delays: { one: 1000, two: 500 } }, 4)
    yield* TestClock.adjust("1 minute")
    yield* Fiber.join(fiber)
    expect(log).toEqual(segments)
    expect(most()).toBe(1)
  }),
)

effectTest(
  "a segment that is requested again gets the only slot before the later ones",
  Effect.gen(function* () {
    const { fiber, log } = yield* speakBy({ delays: {}, failing: ["one", "three"] })
    for (let second = 0; second < 60; second += 1) yield* TestClock.adjust("1 second")
    yield* Fiber.join(fiber)
    expect(log).toEqual(["one", "one", "two", "three", "three", "four"])
  }),
)

effectTest(
  "a hang-up frees the slot, held or waited for",
  Effect.gen(function* () {
    const holding = yield* speakBy({ delays: {} })
    yield* TestClock.adjust("50 millis")
    expect(holding.held()).toBe(1)
    yield* Fiber.interrupt(holding.fiber)
    expect(holding.held()).toBe(0)
    const waiting = yield* speakBy({ delays: {} }, 0)
    yield* TestClock.adjust("50 millis")
    yield* Fiber.interrupt(waiting.fiber)
    yield* waiting.slots.release(1)
    yield* TestClock.adjust("1 minute")
    expect(waiting.log).toEqual([])
    expect(waiting.held()).toBe(0)
  }),
)

/** A server that sends a tenth of a second of speech every 10 ms, 20 times, and then waits `endMs` before its end. */
const steadily = (endMs: number): Synthesizer["Type"] => ({
  status: Effect.succeed("ok" as const),
  model: Effect.succeed("m"),
  speak: (_text, _options, open) =>
    Effect.gen(function* () {
      const take = open()
      for (let n = 0; n < 20; n++) {
        take(tenth)
        yield* Effect.sleep(10)
      }
      yield* Effect.sleep(endMs)
    }),
})

/** The ms at which the audio of one segment is passed on, with its playing time, and the ms at which all of it was. */
const passedOn = Effect.fnUntraced(function* (aheadMs: (playedMs: number) => number, endMs = 0) {
  const arrivals: Array<readonly [at: number, ms: number]> = []
  const total = () => arrivals.reduce((sum, [, ms]) => sum + ms, 0)
  const now = Clock.currentTimeMillis
  const fiber = yield* Effect.fork(
    speak(
      Stream.make({ index: 0, text: "one", spoken: "one" }),
      steadily(endMs),
      { turnId: newId(TurnId), model: "m", voice: "v", output: { format: "pcm" }, streaming: true },
      {
        onAudio: (_bytes, ms) => Effect.map(now, (at) => arrivals.push([at, ms])),
        aheadMs: () => aheadMs(total()),
        onSegmentDone: () => Effect.void,
      },
    ).pipe(Effect.zipRight(now)),
  )
  yield* TestClock.adjust("2 seconds")
  return { arrivals, total: total(), endedAt: yield* Fiber.join(fiber) }
})

effectTest(
  "each chunk is passed on at once to a client that has played what it has",
  Effect.gen(function* () {
    const { arrivals } = yield* passedOn(() => 0)
    expect(arrivals).toEqual(Array.from({ length: 20 }, (_, n) => [n * 10, 100] as const))
  }),
)

effectTest(
  "a client that is ahead gets larger pieces, none later than a tenth of what it has to play",
  Effect.gen(function* () {
    const { arrivals, total, endedAt } = yield* passedOn((audioMs) => audioMs)
    expect(total).toBe(2000)
    expect(arrivals.slice(0, 2)).toEqual([
      [0, 100],
      [10, 100],
    ])
    let ahead = 0
    for (const [n, [at, ms]] of arrivals.entries()) {
      const before = arrivals[n - 1]?.[0] ?? 0
      expect(at - before).toBeLessThanOrEqual(Math.max(10, Math.min(100, ahead / 10)))
      ahead += ms
    }
    expect(arrivals.length).toBeLessThanOrEqual(10)
    // The last chunk comes after 190 ms; its end after 200.
    expect(endedAt).toBe(200)
  }),
)

effectTest(
  "a server that falls silent holds back no audio that came before",
  Effect.gen(function* () {
    const { arrivals, total, endedAt } = yield* passedOn(() => 1000, 1000)
    expect(total).toBe(2000)
    expect(arrivals.at(-1)?.[0]).toBeLessThanOrEqual(290)
    expect(endedAt).toBe(1200)
  }),
)
