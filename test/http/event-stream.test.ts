import { expect } from "bun:test"
import { Effect, Fiber, Option, Ref, TestClock } from "effect"
import { asEvents } from "../../src/http/event-stream.ts"
import { newId, SessionId, TurnId } from "../../src/schema.ts"
import { makeTurnLog } from "../../src/turn/log.ts"
import { drain } from "../../src/turn/take.ts"
import { effectTest } from "../support/effect.ts"
import { commentsIn, eventsIn } from "../support/events.ts"

/** A turn with its transcript. The test appends the other events. */
const begun = Effect.gen(function* () {
  const log = yield* makeTurnLog({
    output: { format: "mp3", streamsText: true, streaming: true },
    keepsAudio: false,
    uploadMs: 0,
  })
  const ids = { sessionId: newId(SessionId), turnId: newId(TurnId) }
  log.push({ _tag: "Started", ...ids, replayOf: Option.none() })
  log.push({ _tag: "Heard", text: "Hi", source: { bytes: 2, type: "text" } })
  const { body } = yield* asEvents(() => ({}))(log)
  const sent = yield* Ref.make<Uint8Array>(new Uint8Array())
  const reading = yield* Effect.fork(
    drain(body, (batch) => Ref.update(sent, (before) => Buffer.concat([before, ...batch]))),
  )
  const heard = (text: string) => log.append({ _tag: "TextDelta", text })
  /** The text sent until the stream waits. */
  const comments = Effect.map(Effect.zipRight(TestClock.adjust("0 millis"), Ref.get(sent)), commentsIn)
  return { turn: log, sent, reading, heard, comments }
})

effectTest(
  "a comment is sent after every ten seconds of silence",
  Effect.gen(function* () {
    const { comments } = yield* begun
    yield* TestClock.adjust("9 seconds")
    expect(yield* comments).toBe(0)
    yield* TestClock.adjust("2 seconds")
    expect(yield* comments).toBe(1)
    yield* TestClock.adjust("10 seconds")
    expect(yield* comments).toBe(2)
  }),
)

effectTest(
  "no comment is sent between frequent events",
  Effect.gen(function* () {
    const { comments, heard } = yield* begun
    for (let n = 0; n < 20; n++) {
      yield* TestClock.adjust("3 seconds")
      yield* heard("word ")
    }
    expect(yield* comments).toBe(0)
    yield* TestClock.adjust("12 seconds")
    expect(yield* comments).toBe(1)
  }),
)

effectTest(
  "comments end with the events",
  Effect.gen(function* () {
    const { turn, sent, reading, heard } = yield* begun
    yield* TestClock.adjust("25 seconds")
    yield* heard("word")
    yield* TestClock.adjust("25 seconds")
    yield* turn.end
    yield* Fiber.join(reading)
    const body = yield* Ref.get(sent)
    expect(commentsIn(body)).toBe(4)
    expect(eventsIn(body).map(({ id, event }) => `${id} ${event}`)).toEqual([
      "1 turn.started",
      "2 transcript",
      "3 reply.delta",
    ])
  }),
)
