import { describe, expect, test } from "bun:test"
import { Duration, Effect, Exit, Fiber, TestClock } from "effect"
import { ItemId, newId } from "../../src/schema.ts"
import { deadline, overdue } from "../../src/turn/deadline.ts"
import type { NewTurnEvent, TurnStage } from "../../src/turn/events.ts"
import { makeTurnLog } from "../../src/turn/log.ts"
import { initialState, step } from "../../src/turn/state.ts"
import { effectTest } from "../support/effect.ts"

const timeout = Duration.seconds(60)
const output = { format: "mp3", streamsText: false, streaming: true } as const

type Timed = readonly [at: number, event: NewTurnEvent]
const start = (at: number, stage: TurnStage): Timed => [at, { _tag: "StageStarted", stage }]
const end = (at: number, stage: TurnStage, ok = true): Timed => [at, { _tag: "StageEnded", stage, ok }]
const stage = (at: number, name: TurnStage) => [start(at, name), end(at, name)]
const heard: Timed = [9, { _tag: "Heard", text: "Hi", source: { bytes: 1, type: "wav" } }]

const stateOf = (events: ReadonlyArray<Timed>) =>
  events.reduce(
    (state, [at, event]) => step(state, { ...event, at, seq: 0 }),
    initialState({ output, keepsAudio: false, beganAt: 0, uploadMs: 0, currency: "USD" }),
  )

/** What a turn of 60 s is answered with, from what happened before: the ms of its events. */
const cases: ReadonlyArray<readonly [name: string, events: ReadonlyArray<Timed>, error: object]> = [
  ["stt runs", [...stage(1, "validate"), start(9, "stt")], { _tag: "ProviderUnusable", stage: "stt" }],
  [
    "the model runs",
    [...stage(1, "stt"), heard, start(9, "llm")],
    { _tag: "ProviderUnusable", stage: "llm" },
  ],
  [
    "the model failed, and is about to be asked again",
    [...stage(1, "stt"), heard, start(9, "llm"), end(50_000, "llm", false)],
    { _tag: "ProviderUnusable", stage: "llm" },
  ],
  [
    "speech is on its way",
    [...stage(1, "stt"), heard, ...stage(9, "llm"), start(10, "tts")],
    { _tag: "ProviderUnusable", stage: "tts" },
  ],
  [
    "speech waits for a conversion slot",
    [...stage(1, "stt"), heard, ...stage(9, "llm"), start(10, "tts"), start(11, "conversionSlot")],
    { _tag: "Overloaded", reason: "conversion" },
  ],
  [
    "speech waited for a conversion slot and is on its way",
    [...stage(1, "stt"), heard, ...stage(9, "llm"), start(10, "tts"), ...stage(11, "conversionSlot")],
    { _tag: "ProviderUnusable", stage: "tts" },
  ],
  [
    "decoding never got a slot",
    [...stage(1, "validate"), start(2, "decodingSlot")],
    { _tag: "Overloaded", reason: "decoding" },
  ],
  [
    "decoding waited for longer than it ran",
    [
      ...stage(1, "validate"),
      start(2, "decodingSlot"),
      end(40_000, "decodingSlot"),
      start(40_000, "transcode"),
    ],
    { _tag: "Overloaded", reason: "decoding" },
  ],
  [
    "decoding ran for longer than it waited",
    [
      ...stage(1, "validate"),
      start(2, "decodingSlot"),
      end(20_000, "decodingSlot"),
      start(20_000, "transcode"),
    ],
    { _tag: "InvalidAudio", isTooSlow: true },
  ],
  [
    "an earlier turn of the session runs",
    [start(0, "turnOrder"), ...stage(1, "validate"), ...stage(2, "stt")],
    { _tag: "SessionBusy" },
  ],
  ["an earlier turn runs, before a text", [start(0, "turnOrder")], { _tag: "SessionBusy" }],
  ["the turn waited for another with its key", stage(0, "turnOrder"), { _tag: "SessionBusy" }],
  [
    "the history is not read",
    [...stage(0, "turnOrder"), start(1, "history"), ...stage(2, "stt")],
    { _tag: "DatabaseUnavailable" },
  ],
  [
    "stt runs while an earlier turn runs",
    [start(0, "turnOrder"), ...stage(1, "validate"), start(2, "stt")],
    { _tag: "ProviderUnusable", stage: "stt" },
  ],
]

describe("overdue", () => {
  test.each(cases)("%s", (_, events, error) => {
    expect(overdue(stateOf(events), timeout, 60_000)).toMatchObject(error)
  })
})

const began = makeTurnLog({ output, keepsAudio: false, uploadMs: 0 })

effectTest(
  "deadline: a turn without output fails when its time is over",
  Effect.gen(function* () {
    const log = yield* began
    const running = yield* Effect.fork(Effect.flip(deadline(log, timeout)))
    log.push({ _tag: "StageStarted", stage: "llm" })
    yield* TestClock.adjust("59 seconds")
    expect(yield* Fiber.poll(running)).toMatchObject({ _tag: "None" })
    yield* TestClock.adjust("1 second")
    expect(yield* Fiber.join(running)).toMatchObject({ _tag: "ProviderUnusable", stage: "llm" })
  }),
)

effectTest(
  "deadline: the time starts at the end of the upload, not when the turn begins to run",
  Effect.gen(function* () {
    const log = yield* began
    yield* log.timed("turnOrder", TestClock.adjust("50 seconds"))
    const running = yield* Effect.fork(Effect.flip(deadline(log, timeout)))
    yield* TestClock.adjust("9 seconds")
    expect(yield* Fiber.poll(running)).toMatchObject({ _tag: "None" })
    yield* TestClock.adjust("1 second")
    expect(yield* Fiber.join(running)).toMatchObject({ _tag: "SessionBusy" })

    yield* TestClock.adjust("1 minute")
    expect(yield* Effect.flip(deadline(log, timeout))).toMatchObject({ _tag: "SessionBusy" })
  }),
)

effectTest(
  "deadline: what a retry dropped is no output",
  Effect.gen(function* () {
    const log = yield* makeTurnLog({ output: { ...output, streaming: false }, keepsAudio: true, uploadMs: 0 })
    const messageId = newId(ItemId)
    const running = yield* Effect.fork(Effect.flip(deadline(log, timeout)))
    log.push({ _tag: "RoundStarted", round: 0, messageId })
    log.push({ _tag: "Audio", bytes: new Uint8Array(1), ms: 1 })
    log.push({ _tag: "RoundStarted", round: 0, messageId })
    log.push({ _tag: "StageStarted", stage: "llm" })
    yield* TestClock.adjust("1 minute")
    expect(yield* Fiber.join(running)).toMatchObject({ _tag: "ProviderUnusable", stage: "llm" })
  }),
)

effectTest(
  "deadline: a turn with output may take as long as it likes",
  Effect.gen(function* () {
    const log = yield* began
    const running = yield* Effect.fork(Effect.exit(deadline(log, timeout)))
    log.push({ _tag: "Audio", bytes: new Uint8Array(1), ms: 1 })
    yield* TestClock.adjust("10 minutes")
    expect(yield* Fiber.poll(running)).toMatchObject({ _tag: "None" })
    expect(Exit.isInterrupted(yield* Fiber.interrupt(running))).toBe(true)
  }),
)
