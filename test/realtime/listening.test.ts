import { describe, expect } from "bun:test"
import { Effect, FastCheck, Option, TestClock } from "effect"
import { RateLimited } from "../../src/limits/rate-limits.ts"
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
      expect(tags()).toEqual(["SpeechStarted"])
      hear(silence(10))
      expect(tags().slice(1)).toEqual(["SpeechStopped", "Committed"])
    }),
  )

  effectTest(
    "long speech does at once, also without words",
    Effect.gen(function* () {
      const { listener, hear, tags, events } = yield* makeFakeListener({ hears: [{ text: "[cough]" }] })
      listener.replying({ isPlaying: true })
      hear(silence(20), voice(16))
      expect(events).toMatchObject([{ _tag: "SpeechStarted", isInterruption: true }])
      hear(silence(16))
      yield* settle
      expect(tags().slice(1)).toEqual(["SpeechStopped", "Committed"])
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

effectTest(
  "clear forgets speech, and speech goes on",
  Effect.gen(function* () {
    const { listener, hear, events, tags, transcripts, calls } = yield* makeFakeListener()
    hear(silence(20), voice(10), silence(7))
    listener.clear()
    expect(listener.commit()).toBe("empty")
    hear(voice(10), silence(16))
    yield* settle
    expect(tags()).toEqual(["SpeechStarted", "SpeechStarted", "SpeechStopped", "Committed"])
    expect(events[1]).toMatchObject({ startMs: 37 * 32 })
    expect(yield* transcripts).toEqual(["Hello."])
    expect(calls.length).toBe(1)
  }),
)

effectTest(
  "an utterance that is too long is committed by itself, and the next one follows",
  Effect.gen(function* () {
    const hearing = {
      model: "ears",
      language: Option.some("en"),
      silenceDbfs: -60,
      maxSeconds: 2,
      keyTerms: [],
    }
    const { hear, events, tags } = yield* makeFakeListener({ hearing })
    hear(voice(100))
    expect(tags().slice(0, 4)).toEqual(["SpeechStarted", "SpeechStopped", "Committed", "SpeechStarted"])
    const lengths = events.flatMap((event) =>
      event._tag === "Committed" ? [event.endMs - event.startMs] : [],
    )
    expect(lengths.length).toBe(1)
    expect(lengths.every((ms) => ms >= 2000 && ms < 3000)).toBe(true)
  }),
)

effectTest(
  "turn detection off in mid-speech, and on again",
  Effect.gen(function* () {
    const { listener, hear, tags, transcripts } = yield* makeFakeListener({
      hears: [{ text: "One." }, { text: "Two." }],
    })
    hear(silence(20), voice(10))
    listener.configure(null)
    hear(silence(40))
    expect(tags()).toEqual(["SpeechStarted"])
    expect(listener.commit()).toBe("committed")
    hear(silence(10))
    listener.configure(serverVad)
    hear(silence(10), voice(10), silence(16))
    yield* settle
    expect(tags()).toEqual(["SpeechStarted", "Committed", "SpeechStarted", "SpeechStopped", "Committed"])
    expect(yield* transcripts).toEqual(["One.", "Two."])
  }),
)

const semantic = { type: "semantic_vad", eagerness: "medium" } as const
const started = "SpeechStarted"
const ended = ["SpeechStopped", "Committed"] as const

describe("turn detection off and on again", () => {
  effectTest(
    "within one word is one utterance",
    Effect.gen(function* () {
      const { listener, hear, tags, events, transcripts } = yield* makeFakeListener()
      hear(silence(20), voice(10))
      listener.configure(null)
      listener.configure(serverVad)
      hear(voice(5))
      listener.configure(null)
      hear(voice(5))
      listener.configure(semantic)
      listener.configure(serverVad)
      hear(voice(5), silence(16))
      yield* settle
      expect(tags()).toEqual([started, ...ended])
      expect(events[2]).toMatchObject({
        startMs: 640 - 300,
        endMs: (20 + 25 + 16) * 32,
        by: "turn_detection",
      })
      expect(yield* transcripts).toEqual(["Hello."])
    }),
  )

  effectTest(
    "in the silence after speech: the silence counts",
    Effect.gen(function* () {
      const { listener, hear, tags } = yield* makeFakeListener()
      hear(silence(20), voice(10), silence(8))
      listener.configure(null)
      hear(silence(100))
      expect(tags()).toEqual([started])
      listener.configure(serverVad)
      hear(silence(1))
      expect(tags()).toEqual([started, ...ended])
      hear(silence(20), voice(10), silence(16))
      expect(tags()).toEqual([started, ...ended, started, ...ended])
    }),
  )

  effectTest(
    "a pause of before is transcribed, so that a whole sentence is answered soon",
    Effect.gen(function* () {
      const { listener, hear, tags } = yield* makeFakeListener({ hears: [{ text: "That is all." }] })
      hear(silence(20), voice(10))
      listener.configure(null)
      hear(silence(10))
      listener.configure(semantic)
      yield* settle
      hear(silence(6))
      expect(tags()).toEqual([started, "MaybeOver", ...ended])
    }),
  )

  effectTest(
    "on in speech of a manual turn, and in one that has ended",
    Effect.gen(function* () {
      const { listener, hear, tags, transcripts } = yield* makeFakeListener({
        turnDetection: null,
        hears: [{ text: "One." }, { text: "Two." }],
      })
      hear(silence(5), voice(10))
      listener.configure(serverVad)
      expect(tags()).toEqual([started])
      hear(voice(5), silence(16))
      expect(tags()).toEqual([started, ...ended])
      listener.configure(null)
      hear(voice(10), silence(60))
      listener.configure(serverVad)
      hear(silence(1))
      yield* settle
      expect(tags()).toEqual([started, ...ended, started, ...ended])
      expect(yield* transcripts).toEqual(["One.", "Two."])
    }),
  )

  effectTest(
    "before speech, and in a silence without any",
    Effect.gen(function* () {
      const { listener, hear, tags, events } = yield* makeFakeListener()
      hear(silence(10))
      listener.configure(null)
      hear(silence(10))
      listener.configure(serverVad)
      hear(silence(10), voice(10), silence(16))
      expect(tags()).toEqual([started, ...ended])
      expect(events[0]).toMatchObject({ startMs: 30 * 32 - 300 })
    }),
  )

  effectTest(
    "in speech that is held back during a reply: it interrupts once",
    Effect.gen(function* () {
      const { listener, hear, tags, events } = yield* makeFakeListener()
      listener.replying({ isPlaying: true })
      hear(silence(20), voice(5))
      listener.configure(null)
      hear(voice(30))
      expect(tags()).toEqual([])
      listener.configure(serverVad)
      expect(events).toMatchObject([{ _tag: started, isInterruption: true }])
      listener.replying({ isPlaying: false })
      listener.configure(null)
      listener.configure(serverVad)
      hear(voice(5), silence(16))
      expect(tags()).toEqual([started, ...ended])
    }),
  )

  effectTest(
    "while the words of speech that is over are not known: they are judged",
    Effect.gen(function* () {
      const { listener, hear, tags, transcripts } = yield* makeFakeListener({
        hears: [{ text: "Stop.", afterMs: 1000 }],
      })
      listener.replying({ isPlaying: true })
      hear(silence(20), voice(9), silence(16))
      listener.configure(null)
      hear(silence(10))
      listener.configure(serverVad)
      expect(tags()).toEqual([])
      yield* TestClock.adjust(1000)
      expect(tags()).toEqual([started, ...ended])
      expect(yield* transcripts).toEqual(["Stop."])
    }),
  )

  effectTest(
    "a manual turn goes on after speech that was held back, and is committed whole",
    Effect.gen(function* () {
      const { listener, hear, tags, transcripts, calls } = yield* makeFakeListener({
        hears: [{ text: "Stop. Now." }],
      })
      listener.replying({ isPlaying: true })
      hear(silence(20), voice(9), silence(16))
      listener.configure(null)
      hear(voice(10))
      listener.configure(serverVad)
      listener.configure(null)
      hear(silence(3))
      expect(listener.commit()).toBe("committed")
      yield* TestClock.adjust(1000)
      expect(tags().filter((tag) => tag === "Committed").length).toBe(1)
      expect(yield* transcripts).toEqual(["Stop. Now."])
      expect(calls.at(-1)?.speech.seconds).toBeGreaterThan(1)
    }),
  )

  const action = FastCheck.oneof(
    FastCheck.record({
      _tag: FastCheck.constant("hear" as const),
      isVoice: FastCheck.boolean(),
      frames: FastCheck.integer({ min: 1, max: 25 }),
    }),
    FastCheck.record({
      _tag: FastCheck.constant("configure" as const),
      to: FastCheck.constantFrom(null, serverVad, semantic),
    }),
    FastCheck.record({ _tag: FastCheck.constant("replying" as const), isPlaying: FastCheck.boolean() }),
    FastCheck.constantFrom({ _tag: "commit" as const }, { _tag: "clear" as const }),
  )

  effectTest(
    "any changes: each utterance begins once, and ends once",
    Effect.gen(function* () {
      for (const actions of FastCheck.sample(FastCheck.array(action, { maxLength: 40 }), 40)) {
        const fake = yield* makeFakeListener()
        const { listener, events } = fake
        let isOpen = false
        let seen = 0
        for (const each of actions) {
          if (each._tag === "hear") fake.hear(each.isVoice ? voice(each.frames) : silence(each.frames))
          if (each._tag === "configure") listener.configure(each.to)
          if (each._tag === "replying") listener.replying({ isPlaying: each.isPlaying })
          if (each._tag === "commit") listener.commit()
          if (each._tag === "clear") {
            listener.clear()
            isOpen = false
          }
          yield* settle
          for (const event of events.slice(seen)) {
            seen += 1
            if (event._tag === "SpeechStarted") {
              expect([actions, isOpen]).toEqual([actions, false])
              isOpen = true
            }
            if (event._tag === "SpeechStopped") expect([actions, isOpen]).toEqual([actions, true])
            if (event._tag !== "Committed") continue
            const before = events[seen - 2]?._tag
            expect([actions, before === "SpeechStopped"]).toEqual([actions, event.by === "turn_detection"])
            isOpen = false
          }
        }
      }
    }),
  )
})

effectTest(
  "semantic_vad answers a sentence soon, and waits for the rest of another",
  Effect.gen(function* () {
    const { hear, tags, transcripts } = yield* makeFakeListener({
      turnDetection: { type: "semantic_vad", eagerness: "medium" },
      hears: [{ text: "I want to" }, { text: "I want to go to Rome." }],
    })
    hear(silence(20), voice(10), silence(10))
    yield* settle
    hear(silence(40))
    expect(tags()).toEqual(["SpeechStarted"])
    hear(voice(10), silence(10))
    yield* settle
    hear(silence(10))
    // A whole sentence may be all.
    expect(tags()).toEqual(["SpeechStarted", "Resumed", "MaybeOver", "SpeechStopped", "Committed"])
    expect(yield* transcripts).toEqual(["I want to go to Rome."])
  }),
)

effectTest(
  "words are counted in speech without a pause, at times that double",
  Effect.gen(function* () {
    const { listener, hear, tags, transcripts, calls } = yield* makeFakeListener({
      hears: [{ text: "Stop" }, { text: "Stop it right now" }, { text: "Stop it right now, please." }],
      interruption: { minMs: 200, minWords: 3, maxBackchannelMs: 600 },
    })
    listener.replying({ isPlaying: true })
    hear(silence(20), voice(18))
    yield* settle
    expect(calls.length).toBe(0)
    hear(voice(1))
    yield* settle
    expect(calls.length).toBe(1)
    hear(voice(18))
    yield* settle
    expect([calls.length, tags()]).toEqual([1, []])
    hear(voice(1))
    yield* settle
    expect(calls.length).toBe(2)
    expect(tags()).toEqual(["SpeechStarted"])
    hear(voice(60))
    yield* settle
    expect(calls.length).toBe(2)
    listener.replying({ isPlaying: false })
    hear(silence(16))
    yield* settle
    expect(yield* transcripts).toEqual(["Stop it right now, please."])
  }),
)

effectTest(
  "speech during a reply is speech when the reply ends",
  Effect.gen(function* () {
    const { listener, hear, tags } = yield* makeFakeListener()
    listener.replying({ isPlaying: true })
    hear(silence(20), voice(5))
    expect(tags()).toEqual([])
    listener.replying({ isPlaying: false })
    expect(tags()).toEqual(["SpeechStarted"])
    hear(silence(16))
    expect(tags().slice(1)).toEqual(["SpeechStopped", "Committed"])
  }),
)

effectTest(
  "seconds count once, texts are joined as their script is, and a remark is no text",
  Effect.gen(function* () {
    const { hear, events } = yield* makeFakeListener({
      hears: [{ text: "今日は。" }, { text: "[music]" }, { text: "いい天気です。" }],
    })
    hear(silence(20), voice(100), silence(8), voice(100), silence(8), voice(100), silence(16))
    yield* settle
    const last = events.at(-1)
    const heard = last?._tag === "Committed" ? yield* last.transcript : undefined
    expect(heard?.text).toBe("今日は。いい天気です。")
    const said = (300 * 32 + 300 + 2 * 8 * 32) / 1000
    expect(Math.abs((heard?.seconds ?? 0) - said)).toBeLessThan(0.5)
  }),
)

describe("the rate limit", () => {
  const refused = new RateLimited({
    policy: { name: "requests", limit: 5, windowSeconds: 60 },
    retryAfter: 3,
  })

  effectTest(
    "counts each utterance once, before its first segment, and silence not at all",
    Effect.gen(function* () {
      let counted = 0
      const { listener, hear, calls, transcripts } = yield* makeFakeListener({
        count: Effect.sync(() => {
          counted += 1
          expect(calls.length).toBe(counted === 1 ? 0 : 2)
        }),
      })
      hear(silence(20), voice(100), silence(8), voice(100), silence(16))
      yield* settle
      expect([counted, calls.length]).toEqual([1, 2])
      listener.configure(null)
      hear(silence(30))
      listener.commit()
      yield* settle
      expect([counted, calls.length]).toEqual([1, 2])
      hear(voice(30))
      listener.commit()
      yield* settle
      expect([counted, calls.length]).toEqual([2, 3])
      expect(yield* transcripts).toEqual(["Hello. Hello.", "", "Hello."])
    }),
  )

  effectTest(
    "keeps what is refused from the recognizer, and the next one is heard",
    Effect.gen(function* () {
      let isRefused = true
      const { listener, hear, calls, transcripts, events } = yield* makeFakeListener({
        count: Effect.suspend(() => (isRefused ? refused : Effect.void)),
      })
      hear(silence(20), voice(100), silence(8), voice(100), silence(16))
      yield* settle
      expect(calls.length).toBe(0)
      expect(yield* Effect.flip(transcripts)).toMatchObject({ _tag: "RateLimited", retryAfter: 3 })
      // Nor is noise during a reply transcribed.
      listener.replying({ isPlaying: true })
      hear(voice(9), silence(30))
      yield* settle
      expect(calls.length).toBe(0)
      listener.replying({ isPlaying: false })
      isRefused = false
      events.length = 0
      hear(voice(20), silence(16))
      yield* settle
      expect(yield* transcripts).toEqual(["Hello."])
    }),
  )
})

effectTest(
  "a recognizer's time counts where it heard no words, and not where it heard nothing",
  Effect.gen(function* () {
    const { listener, hear, events } = yield* makeFakeListener({ hears: [{ text: "" }] })
    hear(silence(20), voice(20), silence(16))
    listener.configure(null)
    hear(silence(30))
    listener.commit()
    yield* settle
    const seconds = yield* Effect.forEach(events, (event) =>
      event._tag === "Committed" ? Effect.map(event.transcript, (heard) => [heard]) : Effect.succeed([]),
    )
    expect(seconds.flat()).toMatchObject([{ text: "" }, { text: "", seconds: 0 }])
    expect(seconds.flat()[0]?.seconds).toBeGreaterThan(0.6)
  }),
)
