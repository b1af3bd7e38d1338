import { expect } from "bun:test"
import { Cause, Chunk, Effect, Exit, Fiber, Option, Stream, TestClock } from "effect"
import { NoSpeechDetected } from "../../src/audio/errors.ts"
import { noPrices } from "../../src/config/prices.ts"
import { noUsage } from "../../src/schema.ts"
import type { NewTurnEvent, OutputOptions } from "../../src/turn/events.ts"
import { makeTurnLog } from "../../src/turn/log.ts"
import { freeBill } from "../../src/usage/bill.ts"
import { effectTest } from "../support/effect.ts"

const begin = (output: Partial<OutputOptions> = {}) =>
  makeTurnLog({
    output: { format: "mp3", streamsText: true, streaming: true, ...output },
    keepsAudio: false,
    uploadMs: 0,
  })

const audio: NewTurnEvent = { _tag: "Audio", bytes: new Uint8Array(1), ms: 10 }
const text: NewTurnEvent = { _tag: "TextDelta", text: "Hi" }
const everything: ReadonlyArray<NewTurnEvent> = [
  { _tag: "StageStarted", stage: "llm" },
  text,
  audio,
  { _tag: "SpokenTo", text: 2, ms: 10 },
  { _tag: "Used", consumed: { usage: { ...noUsage, inputTokens: 1 }, bill: freeBill(noPrices) } },
  { _tag: "Completed" },
]

const tagsOf = <E>(events: Stream.Stream<{ readonly _tag: string }, E>) =>
  Effect.map(Stream.runCollect(events), (all) => Chunk.toReadonlyArray(all).map(({ _tag }) => _tag))

effectTest(
  "a client gets its events in order, and none that is for the state alone",
  Effect.gen(function* () {
    const log = yield* begin()
    for (const event of everything) log.push(event)
    yield* log.end
    expect(yield* tagsOf(log.events)).toEqual(["TextDelta", "Audio", "Completed"])
    expect(log.state()).toMatchObject({ round: { text: "Hi" }, audioMs: 10, isSaved: true })
  }),
)

effectTest(
  "a client gets text and audio only if its output streams them",
  Effect.gen(function* () {
    for (const [output, tags] of [
      [{ streamsText: false }, ["Audio", "Completed"]],
      [{ streaming: false, streamsText: false }, ["Completed"]],
      [{ streaming: false, streamsText: true }, ["Completed"]],
    ] as const) {
      const log = yield* begin(output)
      for (const event of everything) log.push(event)
      yield* log.end
      expect(yield* tagsOf(log.events)).toEqual([...tags])
    }
  }),
)

effectTest(
  "delivered counts what the client took before it asked for more, not what waits for it",
  Effect.gen(function* () {
    const log = yield* begin()
    log.push(text)
    log.push(audio)
    expect(log.delivered()).toBe(0)
    const pull = yield* Stream.toPull(log.events)
    expect(Chunk.size(yield* pull)).toBe(2)
    expect(log.delivered()).toBe(0)
    log.push(audio)
    yield* pull
    expect(log.delivered()).toBe(2)
    const asking = yield* Effect.fork(pull)
    yield* TestClock.adjust("1 second")
    expect(log.delivered()).toBe(3)
    yield* Fiber.interrupt(asking)
    expect(log.delivered()).toBe(3)
  }),
)

effectTest(
  "a turn waits while too many events wait for its client, and goes on when they are taken",
  Effect.gen(function* () {
    const log = yield* begin()
    const writing = yield* Effect.fork(Effect.replicateEffect(log.append(audio), 40))
    yield* TestClock.adjust("1 second")
    expect(yield* Fiber.poll(writing)).toEqual(Option.none())
    const written = log.state().audioMs
    expect(written).toBeLessThan(400)
    const reading = yield* Effect.fork(Stream.runDrain(log.events))
    yield* Fiber.join(writing)
    expect(log.state().audioMs).toBe(400)
    yield* log.end
    yield* Fiber.join(reading)
  }),
)

effectTest(
  "what is dropped is never delivered, and a failure comes after it",
  Effect.gen(function* () {
    const log = yield* begin()
    log.push(text)
    yield* log.drop
    yield* log.fail(Cause.fail(new NoSpeechDetected()))
    const exit = yield* Effect.exit(tagsOf(log.events))
    expect(Exit.isFailure(exit)).toBe(true)
    expect(log.delivered()).toBe(0)
  }),
)

effectTest(
  "a stage is timed whatever its end",
  Effect.gen(function* () {
    const log = yield* begin()
    const stage = yield* Effect.fork(log.timed("stt", Effect.sleep("3 seconds")))
    const failing = yield* Effect.fork(
      Effect.exit(log.timed("history", Effect.delay(Effect.fail("away"), "1 second"))),
    )
    yield* TestClock.adjust("3 seconds")
    yield* Fiber.join(stage)
    yield* Fiber.join(failing)
    const { stt, history } = log.state().stages
    expect(stt).toEqual({ startedAt: 0, endedAt: Option.some(3000) })
    expect(history).toEqual({ startedAt: 0, endedAt: Option.some(1000) })
  }),
)
