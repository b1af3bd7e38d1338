import { describe, expect, test } from "bun:test"
import { Chunk, FastCheck as fc, Option } from "effect"
import { newId, SessionId, TurnId } from "../../src/schema.ts"
import type { NewTurnEvent, OutputOptions } from "../../src/turn/events.ts"
import { heardReply, heardText, isHeard } from "../../src/turn/heard-reply.ts"
import { initialState, step, type TurnState } from "../../src/turn/state.ts"
import { finalTimings, timingsOf } from "../../src/turn/timings.ts"

const spoken: OutputOptions = { format: "mp3", streamsText: true, streaming: true }

const begin = (output = spoken, keepsAudio = false) =>
  initialState({ output, keepsAudio, beganAt: 1000, uploadMs: 5 })

/** Folds events as the log does: an event every 10 ms, each offered to the client. */
const fold = (events: ReadonlyArray<NewTurnEvent>, from: TurnState = begin()): TurnState =>
  events.reduce((state, event, at) => step(state, { ...event, seq: at + 1, at: 1000 + 10 * at }), from)

const text = fc
  .string({ minLength: 1, maxLength: 8 })
  .map((text): NewTurnEvent => ({ _tag: "TextDelta", text }))
const audio = fc.nat(400).map((ms): NewTurnEvent => ({ _tag: "Audio", bytes: new Uint8Array(ms), ms }))
const stage = fc
  .tuple(fc.constantFrom("stt" as const, "llm" as const, "tts" as const), fc.boolean())
  .map(
    ([stage, isStart]): NewTurnEvent =>
      isStart ? { _tag: "StageStarted", stage } : { _tag: "StageEnded", stage, ok: true },
  )
const used = fc
  .nat(9)
  .map((n): NewTurnEvent => ({ _tag: "Used", usage: { inputTokens: n, outputTokens: 1 } }))
const round: fc.Arbitrary<NewTurnEvent> = fc.constant({ _tag: "RoundStarted" })

/** A turn's events in any order, with marks that say what was spoken so far. */
const walks = fc
  .array(fc.oneof({ weight: 5, arbitrary: text }, { weight: 5, arbitrary: audio }, stage, used, round), {
    maxLength: 60,
  })
  .map((events) => {
    let written = 0
    let ms = 0
    return events.flatMap((event): ReadonlyArray<NewTurnEvent> => {
      if (event._tag === "RoundStarted") [written, ms] = [0, 0]
      if (event._tag === "TextDelta") written += event.text.length
      if (event._tag !== "Audio") return [event]
      ms += event.ms
      return [event, { _tag: "SpokenTo", text: written, ms }]
    })
  })

const sinceRound = (events: ReadonlyArray<NewTurnEvent>) =>
  events.slice(events.findLastIndex(({ _tag }) => _tag === "RoundStarted") + 1)

describe("step", () => {
  test("is pure: the same events give the same state, and no state changes", () => {
    fc.assert(
      fc.property(walks, (events) => {
        const states = events.map((_, n) => fold(events.slice(0, n)))
        const copies = states.map((state) => JSON.stringify(state))
        expect(fold(events)).toEqual(fold(events))
        expect(states.map((state) => JSON.stringify(state))).toEqual(copies)
      }),
    )
  })

  test("the reply is the text of the last round, and its audio with it", () => {
    fc.assert(
      fc.property(walks, (events) => {
        const state = fold(events, begin(spoken, true))
        const last = sinceRound(events)
        expect(state.reply).toBe(last.map((event) => (event._tag === "TextDelta" ? event.text : "")).join(""))
        const audio = last.flatMap((event) => (event._tag === "Audio" ? [event] : []))
        expect(state.audioMs).toBe(audio.reduce((sum, { ms }) => sum + ms, 0))
        expect(Chunk.toReadonlyArray(state.audio)).toEqual(audio.map(({ bytes }) => bytes))
      }),
    )
  })

  test("usage adds up over all rounds", () => {
    fc.assert(
      fc.property(walks, (events) => {
        const inputs = events.flatMap((event) =>
          event._tag === "Used" ? [event.usage.inputTokens ?? 0] : [],
        )
        expect(fold(events).usage.inputTokens).toBe(inputs.reduce((sum, n) => sum + n, 0))
      }),
    )
  })

  test("the first output is the first that was sent, or that was not dropped", () => {
    const outputs = fc
      .tuple(fc.constantFrom("mp3" as const, "none" as const), fc.boolean(), fc.boolean())
      .map(([format, streaming, streamsText]) => ({ format, streaming, streamsText }))
    fc.assert(
      fc.property(walks, outputs, (events, output) => {
        const state = fold(events, begin(output))
        const isSent = ({ _tag }: NewTurnEvent) =>
          output.streaming && (_tag === "Audio" || (_tag === "TextDelta" && output.streamsText))
        const isOutput = ({ _tag }: NewTurnEvent) =>
          _tag === "Audio" || (_tag === "TextDelta" && output.format === "none")
        // A retry drops all output before it, unless something was sent by then.
        const dropped = events.findLastIndex(
          ({ _tag }, n) => _tag === "RoundStarted" && !events.slice(0, n).some(isSent),
        )
        const first = events.findIndex((event, n) => n > dropped && isOutput(event))
        expect(state.firstOutput).toEqual(first < 0 ? Option.none() : Option.some(first + 1))
        const firstAudio = events.findIndex((event, n) => n > dropped && event._tag === "Audio")
        expect(state.firstAudioAt).toEqual(
          firstAudio < 0 ? Option.none() : Option.some(1000 + 10 * firstAudio),
        )
      }),
    )
  })

  test("audio is kept only where it is needed", () => {
    const events: ReadonlyArray<NewTurnEvent> = [{ _tag: "Audio", bytes: new Uint8Array(3), ms: 1 }]
    expect(Chunk.size(fold(events).audio)).toBe(0)
    expect(Chunk.size(fold(events, begin(spoken, true)).audio)).toBe(1)
  })
})

describe("heardText", () => {
  const deliveries = fc.tuple(walks, fc.nat(80), fc.nat(80))

  test("is a prefix of the reply that ends with a segment", () => {
    fc.assert(
      fc.property(deliveries, ([events, delivered]) => {
        const state = fold(events)
        const heard = heardText(state, { delivered })
        const ends = [0, ...state.spoken.map(({ text }) => text)]
        expect(ends.map((end) => state.reply.slice(0, end).trimEnd())).toContain(heard)
      }),
    )
  })

  test("grows with what was delivered, and with what was played", () => {
    fc.assert(
      fc.property(deliveries, ([events, one, other]) => {
        const state = fold(events)
        const [less, more] = [Math.min(one, other), Math.max(one, other)]
        expect(heardText(state, { delivered: more })).toStartWith(heardText(state, { delivered: less }))
        const played = (part: number) => heardText(state, { playedMs: part * 50 })
        expect(played(more)).toStartWith(played(less))
        expect(heardReply(state, { playedMs: less * 50 }).ms).toBeLessThanOrEqual(less * 50)
      }),
    )
  })

  test("everything delivered is everything spoken", () => {
    fc.assert(
      fc.property(walks, (events) => {
        const state = fold(events)
        const end = state.spoken.at(-1)?.text ?? 0
        expect(heardText(state, { delivered: events.length })).toBe(state.reply.slice(0, end).trimEnd())
        expect(heardText(state, { playedMs: state.audioMs })).toBe(state.reply.slice(0, end).trimEnd())
      }),
    )
  })

  test("nothing delivered, or nothing played, is nothing heard", () => {
    const state = fold([
      { _tag: "TextDelta", text: "Hello. " },
      { _tag: "Audio", bytes: new Uint8Array(1), ms: 100 },
      { _tag: "SpokenTo", text: 7, ms: 100 },
    ])
    expect(heardText(state, { delivered: 1 })).toBe("")
    expect(isHeard(state, { delivered: 1 })).toBe(false)
    expect(heardText(state, { playedMs: 20 })).toBe("")
    expect(heardText(state, { delivered: 3 })).toBe("Hello.")
    expect(heardText(state, { playedMs: 100 })).toBe("Hello.")
  })

  test("an interruption within a segment leaves whole words", () => {
    const reply = "One moment. The train to Lyon leaves at nine."
    const state = fold([
      { _tag: "TextDelta", text: reply },
      { _tag: "Audio", bytes: new Uint8Array(1), ms: 1000 },
      { _tag: "SpokenTo", text: 12, ms: 1000 },
      { _tag: "Audio", bytes: new Uint8Array(1), ms: 3300 },
      { _tag: "SpokenTo", text: reply.length, ms: 4300 },
    ])
    // 100 ms a character in the second segment.
    expect(heardReply(state, { playedMs: 1250 })).toEqual({ text: "One moment.", ms: 1250 })
    expect(heardReply(state, { playedMs: 2000 })).toEqual({ text: "One moment. The train", ms: 2000 })
    expect(heardText(state, { playedMs: 2099 })).toBe("One moment. The train")
    expect(heardText(state, { playedMs: 3999 })).toBe("One moment. The train to Lyon leaves at")
    expect(heardReply(state, { playedMs: 9000 })).toEqual({ text: reply, ms: 4300 })
  })

  test("a segment whose speech still arrives counts at the reply's pace", () => {
    const reply = "A first sentence, quite long. The second has no end yet"
    const state = fold([
      { _tag: "TextDelta", text: reply },
      { _tag: "Audio", bytes: new Uint8Array(1), ms: 3000 },
      { _tag: "SpokenTo", text: 30, ms: 3000 },
      { _tag: "Audio", bytes: new Uint8Array(1), ms: 1500 },
    ])
    expect(heardText(state, { playedMs: 4100 })).toBe("A first sentence, quite long. The second")
    const first = fold([
      { _tag: "TextDelta", text: "Well, that is a long story." },
      { _tag: "Audio", bytes: new Uint8Array(1), ms: 900 },
    ])
    expect(heardText(first, { playedMs: 900 })).toBe("Well, that is")
  })

  test("text without spaces is cut between words", () => {
    const reply = "今日の天気は晴れです。"
    const state = fold([
      { _tag: "TextDelta", text: reply },
      { _tag: "Audio", bytes: new Uint8Array(1), ms: 1100 },
      { _tag: "SpokenTo", text: reply.length, ms: 1100 },
    ])
    expect(heardText(state, { playedMs: 350 })).toBe("今日の")
  })
})

test("a client that reports whole milliseconds has heard a segment of 100.4 ms after 100", () => {
  const state = fold([
    { _tag: "TextDelta", text: "Hello." },
    { _tag: "Audio", bytes: new Uint8Array(1), ms: 100.4 },
    { _tag: "SpokenTo", text: 6, ms: 100.4 },
  ])
  expect(heardReply(state, { playedMs: 100 })).toEqual({ text: "Hello.", ms: 100 })
})

describe("isHeard", () => {
  const audio: NewTurnEvent = { _tag: "Audio", bytes: new Uint8Array(1), ms: 100 }

  test("a reply that is sent at the end was not heard before", () => {
    const state = fold([audio], begin({ ...spoken, streaming: false }))
    expect(isHeard(state, { delivered: 9 })).toBe(false)
    const spokenState = fold(
      [{ _tag: "TextDelta", text: "Hi." }, audio, { _tag: "SpokenTo", text: 3, ms: 100 }],
      begin({ ...spoken, streaming: false }),
    )
    expect(heardReply(spokenState, { delivered: 9 })).toEqual({ text: "", ms: 0 })
    expect(heardReply(spokenState, { playedMs: 100 })).toEqual({ text: "Hi.", ms: 100 })
  })

  test("text counts for a reply that is not spoken, and only for that", () => {
    const text: NewTurnEvent = { _tag: "TextDelta", text: "Hi" }
    expect(isHeard(fold([text], begin({ ...spoken, format: "none" })), { delivered: 1 })).toBe(true)
    expect(isHeard(fold([text]), { delivered: 1 })).toBe(false)
    expect(isHeard(fold([text, audio]), { delivered: 2 })).toBe(true)
  })
})

describe("timings", () => {
  test("come from the times of events", () => {
    const state = fold([
      { _tag: "StageStarted", stage: "validate" },
      { _tag: "StageEnded", stage: "validate", ok: true },
      { _tag: "StageStarted", stage: "decodingSlot" },
      { _tag: "StageEnded", stage: "decodingSlot", ok: true },
      { _tag: "StageStarted", stage: "transcode" },
      { _tag: "StageEnded", stage: "transcode", ok: true },
      { _tag: "StageStarted", stage: "stt" },
      { _tag: "StageEnded", stage: "stt", ok: true },
      { _tag: "StageStarted", stage: "llm" },
      { _tag: "TextDelta", text: "Hi." },
      { _tag: "StageStarted", stage: "tts" },
      { _tag: "Audio", bytes: new Uint8Array(1), ms: 100 },
      { _tag: "Audio", bytes: new Uint8Array(1), ms: 100 },
      { _tag: "SpokenTo", text: 3, ms: 200 },
    ])
    expect(timingsOf(state)).toEqual({
      upload: 5,
      validate: 10,
      // With the wait for a slot.
      transcode: 30,
      stt: 10,
      llmTtft: 10,
      ttsTtfb: 10,
      firstAudio: 110,
    })
    expect(finalTimings(state).total).toBe(130)
  })

  test("what did not happen is absent while the turn runs, and 0 at its end", () => {
    expect(timingsOf(begin())).toEqual({ upload: 5 })
    expect(finalTimings(begin())).toMatchObject({ upload: 5, stt: 0, total: 0 })
  })

  test("are those of the first run in a replay", () => {
    const timings = { upload: 5, transcode: 0, stt: 7 }
    const state = fold([
      {
        _tag: "Started",
        sessionId: newId(SessionId),
        turnId: newId(TurnId),
        replayOf: Option.some(timings),
      },
      { _tag: "Audio", bytes: new Uint8Array(1), ms: 100 },
    ])
    expect(timingsOf(state)).toEqual(timings)
    expect(finalTimings(state)).toEqual({ ...finalTimings(begin()), ...timings })
  })
})

test("thinking that was sent is no part of the reply, and its audio counts", () => {
  const tenth: NewTurnEvent = { _tag: "Audio", bytes: new Uint8Array(1), ms: 100 }
  const sent: ReadonlyArray<NewTurnEvent> = [
    { _tag: "TextDelta", text: "Hm, so. " },
    tenth,
    { _tag: "SpokenTo", text: 8, ms: 100 },
    { _tag: "TextDelta", text: "Right. " },
    { _tag: "Retracted" },
  ]
  const before = fold(sent)
  expect(before).toMatchObject({ reply: "", thinkingSent: 15, audioMs: 100 })
  expect(heardReply(before, { playedMs: 100 })).toEqual({ text: "", ms: 100 })
  expect(isHeard(before, { playedMs: 100 })).toBe(true)
  const state = fold([
    ...sent,
    { _tag: "TextDelta", text: "Paris. Yes." },
    tenth,
    // One segment has the end of the thinking and the start of the reply.
    { _tag: "SpokenTo", text: 22, ms: 200 },
    tenth,
    { _tag: "SpokenTo", text: 26, ms: 300 },
  ])
  expect(state.reply).toBe("Paris. Yes.")
  expect(heardReply(state, { playedMs: 120 })).toEqual({ text: "", ms: 120 })
  expect(heardReply(state, { playedMs: 200 })).toEqual({ text: "Paris.", ms: 200 })
  expect(heardReply(state, { delivered: 99 })).toEqual({ text: "Paris. Yes.", ms: 300 })
})

test("a retraction of text that was not sent drops its audio", () => {
  const output = { format: "mp3", streamsText: false, streaming: false } as const
  const state = fold(
    [
      { _tag: "TextDelta", text: "Hm. " },
      { _tag: "Audio", bytes: new Uint8Array(1), ms: 100 },
      { _tag: "SpokenTo", text: 4, ms: 100 },
      { _tag: "Retracted" },
      { _tag: "TextDelta", text: "Paris." },
    ],
    begin(output),
  )
  expect(state).toMatchObject({ reply: "Paris.", thinkingSent: 0, audioMs: 0, spoken: [] })
})
