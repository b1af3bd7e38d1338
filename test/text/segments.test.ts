import { describe, expect } from "bun:test"
import {
  Chunk,
  Clock,
  Deferred,
  Duration,
  Effect,
  Exit,
  FastCheck,
  Fiber,
  Queue,
  Ref,
  Stream,
  TestClock,
} from "effect"
import { type Segment, toSegments } from "../../src/text/segments.ts"
import { effectTest } from "../support/effect.ts"

/** A reply that the test writes token by token, and its segments so far. */
const conversation = Effect.gen(function* () {
  const tokens = yield* Queue.unbounded<string>()
  const heard = yield* Ref.make<ReadonlyArray<Segment>>([])
  const fiber = yield* Stream.fromQueue(tokens).pipe(
    toSegments,
    Stream.runForEach((segment) => Ref.update(heard, (segments) => [...segments, segment])),
    Effect.forkScoped,
  )
  /** Lets every fiber run until it waits; no time passes on the test clock. */
  const settle = TestClock.adjust(0)
  return {
    say: (...parts: ReadonlyArray<string>) => Effect.zipRight(Queue.offerAll(tokens, parts), settle),
    pass: (ms: number) => TestClock.adjust(Duration.millis(ms)),
    end: Effect.zipRight(Queue.shutdown(tokens), Fiber.join(fiber)),
    heard: Effect.map(Ref.get(heard), (segments) => segments.map((segment) => segment.spoken)),
  }
})

describe("segments of a reply", () => {
  effectTest(
    "the first sentence leaves with its last token, at once",
    Effect.gen(function* () {
      const { say, heard } = yield* conversation
      yield* say("The sky", " is blue")
      expect(yield* heard).toEqual([])
      yield* say(".")
      expect(yield* heard).toEqual(["The sky is blue."])
    }),
  )

  effectTest(
    "the end releases everything",
    Effect.gen(function* () {
      const tokens = Stream.make("Yes.", " It is", " so.", " And", " so on")
      const segments = Chunk.toReadonlyArray(yield* Stream.runCollect(toSegments(tokens)))
      expect(segments).toEqual([
        { index: 0, text: "Yes. It is so.", spoken: "Yes. It is so." },
        { index: 1, text: " And so on", spoken: "And so on" },
      ])
    }),
  )

  effectTest(
    "a reply without a token has no segments",
    Effect.gen(function* () {
      expect(yield* Stream.runCount(toSegments(Stream.empty))).toBe(0)
    }),
  )

  effectTest(
    "a failure follows the complete segments",
    Effect.gen(function* () {
      const heard = yield* Ref.make<ReadonlyArray<string>>([])
      const tokens = Stream.concat(Stream.make("The sky is blue.", " It"), Stream.fail("gone"))
      const exit = yield* toSegments(tokens).pipe(
        Stream.runForEach((segment) => Ref.update(heard, (all) => [...all, segment.text])),
        Effect.exit,
      )
      expect(exit).toEqual(Exit.fail("gone"))
      expect(yield* heard).toEqual(["The sky is blue."])
    }),
  )

  effectTest(
    "the tokens are released when nobody takes segments",
    Effect.gen(function* () {
      const released = yield* Deferred.make<void>()
      const tokens = Stream.make("The sky is blue.").pipe(
        Stream.concat(Stream.never),
        Stream.ensuring(Deferred.succeed(released, undefined)),
      )
      expect(yield* toSegments(tokens).pipe(Stream.take(1), Stream.runCount)).toBe(1)
      yield* Deferred.await(released)
    }),
  )

  effectTest(
    "for any tokens the segments' texts are the reply",
    Effect.promise(() =>
      FastCheck.assert(
        FastCheck.asyncProperty(FastCheck.array(FastCheck.string({ unit: "grapheme" })), async (tokens) => {
          const segments = await Effect.runPromise(Stream.runCollect(toSegments(Stream.fromIterable(tokens))))
          expect(
            Chunk.join(
              Chunk.map(segments, (segment) => segment.text),
              "",
            ),
          ).toBe(tokens.join(""))
        }),
      ),
    ),
  )
})

describe("the timer", () => {
  effectTest(
    "releases words whose sentence does not end",
    Effect.gen(function* () {
      const { say, pass, heard } = yield* conversation
      yield* say("The capital of France", " is Par")
      yield* pass(600)
      expect(yield* heard).toEqual([])
      yield* pass(100)
      expect(yield* heard).toEqual(["The capital of France is"])
      yield* say("is.")
      yield* pass(700)
      expect(yield* heard).toEqual(["The capital of France is", "Paris."])
    }),
  )

  effectTest(
    "does not wait longer where the wall clock is set back",
    Effect.gen(function* () {
      const clock = yield* Effect.clock
      let setBackMs = 0
      const wrong: Clock.Clock = {
        [Clock.ClockTypeId]: Clock.ClockTypeId,
        sleep: (wait) => clock.sleep(wait),
        currentTimeMillis: Effect.sync(() => wrong.unsafeCurrentTimeMillis()),
        currentTimeNanos: clock.currentTimeNanos,
        unsafeCurrentTimeMillis: () => clock.unsafeCurrentTimeMillis() - setBackMs,
        unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos(),
      }
      const { say, pass, heard } = yield* Effect.withClock(conversation, wrong)
      yield* say("The capital of France", " is Par")
      setBackMs = 3_600_000
      yield* say(" I")
      yield* pass(800)
      expect(yield* heard).toEqual(["The capital of France is Par"])
    }),
  )

  effectTest(
    "counts from the first waiting word, not from the last",
    Effect.gen(function* () {
      const { say, pass, heard } = yield* conversation
      for (const word of ["It", " was", " a", " long", " and", " very", " winding"]) {
        yield* say(word)
        yield* pass(100)
      }
      expect(yield* heard).toEqual(["It was a long and very"])
    }),
  )

  effectTest(
    "does not count the silence before the first word",
    Effect.gen(function* () {
      const { say, pass, heard } = yield* conversation
      yield* pass(3_000)
      yield* say("The capital of France is")
      yield* pass(500)
      expect(yield* heard).toEqual([])
    }),
  )

  effectTest(
    "waits while released speech lasts, and releases whole sentences first",
    Effect.gen(function* () {
      const { say, pass, heard } = yield* conversation
      // 100 characters take at least 5 s to say; the next segment must leave 1 s before that.
      const first = `S${"o".repeat(98)}.`
      yield* say(first, " It is so.", " And then we")
      yield* pass(3900)
      expect(yield* heard).toEqual([first])
      yield* pass(200)
      expect(yield* heard).toEqual([first, "It is so."])
    }),
  )

  effectTest(
    "never releases a few letters",
    Effect.gen(function* () {
      const { say, pass, heard, end } = yield* conversation
      yield* say("I think")
      yield* pass(10_000)
      expect(yield* heard).toEqual([])
      yield* end
      expect(yield* heard).toEqual(["I think"])
    }),
  )

  effectTest(
    "does not speak code",
    Effect.gen(function* () {
      const { say, pass, heard } = yield* conversation
      yield* say("```js\n", "let some = value that is long\n", "and more of it")
      yield* pass(5000)
      expect(yield* heard).toEqual([])
    }),
  )
})
