import { describe, expect } from "bun:test"
import { Effect, TestClock } from "effect"
import { wrongAnswer } from "../../src/providers/errors.ts"
import { effectTest } from "../support/effect.ts"
import { makeFakeListener, serverVad, silence, voice } from "../support/listener.ts"

/** Lets fibers that do not wait for time run. */
const settle = TestClock.adjust(0)

describe("server_vad", () => {
  effectTest(
    "an utterance",
    Effect.gen(function* () {
      const { events, hear, transcripts, calls } = yield* makeFakeListener({
        hears: [{ text: "Hello there." }],
      })
      hear(silence(31), voice(20), silence(20))
      yield* settle
      expect(events).toMatchObject([
        { _tag: "SpeechStarted", startMs: 31 * 32 - 300 },
        { _tag: "SpeechStopped", endMs: (31 + 20 + 16) * 32 },
        { _tag: "Committed", startMs: 31 * 32 - 300, endMs: (31 + 20 + 16) * 32 },
      ])
      expect(yield* transcripts).toEqual(["Hello there."])
      expect(calls.map(({ speech }) => speech.seconds)).toEqual([0.3 + (20 * 32) / 1000 + 0.192])
    }),
  )

  effectTest(
    "transcription starts before the silence is over",
    Effect.gen(function* () {
      const { events, hear, transcripts } = yield* makeFakeListener({
        hears: [{ text: "Hello.", afterMs: 300 }],
      })
      hear(silence(20), voice(20), silence(6))
      yield* TestClock.adjust(300)
      hear(silence(10))
      expect(events.at(-1)?._tag).toBe("Committed")
      expect(yield* transcripts).toEqual(["Hello."])
    }),
  )

  effectTest(
    "a short segment is heard again with what follows, a long one is kept",
    Effect.gen(function* () {
      const { hear, transcripts, calls } = yield* makeFakeListener({
        hears: [{ text: "I" }, { text: "I want to." }, { text: "Fly." }],
      })
      hear(silence(20), voice(10), silence(8))
      yield* settle
      hear(voice(100), silence(8))
      yield* settle
      hear(voice(20), silence(16))
      yield* settle
      expect(yield* transcripts).toEqual(["I want to. Fly."])
      expect(calls.length).toBe(3)
    }),
  )

  effectTest(
    "a segment that failed early is tried once more",
    Effect.gen(function* () {
      const { hear, transcripts, calls } = yield* makeFakeListener({
        hears: [{ fail: wrongAnswer("stt", "away") }, { text: "Hello." }],
      })
      hear(silence(20), voice(10), silence(8))
      yield* settle
      hear(silence(8))
      expect(yield* transcripts).toEqual(["Hello."])
      expect(calls.length).toBe(2)
    }),
  )

  effectTest(
    "one that fails again is the utterance's error, and the next one is heard",
    Effect.gen(function* () {
      const fail = wrongAnswer("stt", "away")
      const { hear, transcripts, events } = yield* makeFakeListener({
        hears: [{ fail }, { fail }, { text: "Hi." }],
      })
      hear(silence(20), voice(10), silence(8))
      yield* settle
      hear(silence(8))
      expect(yield* Effect.flip(transcripts)).toMatchObject({ reason: "away" })
      events.length = 0
      hear(voice(10), silence(16))
      yield* settle
      expect(yield* transcripts).toEqual(["Hi."])
    }),
  )
})

describe("commit", () => {
  effectTest(
    "in mid-speech, and speech again",
    Effect.gen(function* () {
      const { listener, hear, tags, transcripts, events } = yield* makeFakeListener({
        hears: [{ text: "One." }, { text: "Two." }],
      })
      hear(silence(20), voice(10))
      expect(listener.commit()).toBe("committed")
      hear(voice(10), silence(16))
      yield* settle
      expect(tags()).toEqual(["SpeechStarted", "Committed", "SpeechStarted", "SpeechStopped", "Committed"])
      expect(yield* transcripts).toEqual(["One.", "Two."])
      expect(events[2]).toMatchObject({ startMs: 30 * 32 })
    }),
  )

  effectTest(
    "manual turns, and silence without a request",
    Effect.gen(function* () {
      const { listener, hear, tags, transcripts, calls } = yield* makeFakeListener({ turnDetection: null })
      expect(listener.commit()).toBe("empty")
      hear(silence(3))
      expect(listener.commit()).toBe("empty")
      hear(silence(10))
      expect(listener.commit()).toBe("committed")
      hear(voice(3), silence(60), voice(30))
      expect(listener.commit()).toBe("committed")
      expect(listener.commit()).toBe("empty")
      expect(tags()).toEqual(["Committed", "Committed"])
      expect(yield* transcripts).toEqual(["", "Hello."])
      expect(calls.length).toBe(1)
    }),
  )
})

describe("during a reply", () => {
  effectTest(
    "a click, and an mhm, do not interrupt",
    Effect.gen(function* () {
      const { listener, hear, tags, calls } = yield* makeFakeListener({ hears: [{ text: "Mm-hmm." }] })
      listener.replying({ isPlaying: true })
      hear(silence(20), voice(4), silence(30))
      expect(calls.length).toBe(0)
      hear(voice(12), silence(30))
      yield* settle
      expect(calls.length).toBe(1)
      expect(tags()).toEqual([])
    }),
  )

  effectTest(
    "a short word of its own does, when its transcript is there",
    Effect.gen(function* () {
      const { listener, hear, tags } = yield* makeFakeListener({ hears: [{ text: "Stop.", afterMs: 100 }] })
      listener.replying({ isPlaying: true })
      hear(silence(20), voice(9), silence(7))
      expect(tags()).toEqual([])
      yield* TestClock.adjust(100)
      expect(tags()).toEqual(["SpeechStarted", "Interruption"])
      hear(silence(10))
      expect(tags().slice(2)).toEqual(["SpeechStopped", "Committed"])
    }),
  )

  effectTest(
    "long speech does at once, and was a false one if it has no words",
    Effect.gen(function* () {
      const { listener, hear, tags } = yield* makeFakeListener({ hears: [{ text: "[cough]" }] })
      listener.replying({ isPlaying: true })
      hear(silence(20), voice(16))
      expect(tags()).toEqual(["SpeechStarted", "Interruption"])
      hear(silence(16))
      yield* settle
      expect(tags().slice(2)).toEqual(["SpeechStopped", "Committed", "FalseInterruption"])
    }),
  )
})

effectTest(
  "settings change in mid-speech",
  Effect.gen(function* () {
    const { listener, hear, tags } = yield* makeFakeListener()
    hear(silence(20), voice(10), silence(10))
    listener.configure({ ...serverVad, silence_duration_ms: 200 })
    expect(tags()).toEqual(["SpeechStarted"])
    hear(silence(1))
    expect(tags()).toEqual(["SpeechStarted", "SpeechStopped", "Committed"])
  }),
)
