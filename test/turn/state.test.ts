import { describe, expect, test } from "bun:test"
import { Chunk, FastCheck as fc, Option } from "effect"
import { noPrices } from "../../src/config/prices.ts"
import { ItemId, newId, noUsage, SessionId, TurnId } from "../../src/schema.ts"
import type { NewTurnEvent, OutputOptions } from "../../src/turn/events.ts"
import { type HeardUpTo, heardMessages, heardText, isHeard } from "../../src/turn/heard-reply.ts"
import { initialState, replyOf, roundsOf, step, type TurnState } from "../../src/turn/state.ts"
import { finalTimings, timingsOf } from "../../src/turn/timings.ts"
import { freeBill } from "../../src/usage/bill.ts"
import { heardReply } from "../support/heard.ts"

const spoken: OutputOptions = { format: "mp3", streamsText: true, streaming: true }

const begin = (output = spoken, keepsAudio = false) =>
  initialState({ output, keepsAudio, beganAt: 1000, uploadMs: 5, currency: "USD" })

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
const used = fc.nat(9).map(
  (n): NewTurnEvent => ({
    _tag: "Used",
    consumed: { usage: { ...noUsage, inputTokens: n, outputTokens: 1 }, bill: freeBill(noPrices) },
  }),
)
const messageIds = Array.from({ length: 61 }, () => newId(ItemId))
const messageIdOf = (round: number) => messageIds[round] ?? newId(ItemId)
const roundStarted = (round: number): NewTurnEvent => ({
  _tag: "RoundStarted",
  round,
  messageId: messageIdOf(round),
})
/** Another try of the round, or the next round. */
const boundary = fc.constantFrom("again" as const, "next" as const)

/** A turn's events in any order, with marks that say what was spoken so far. */
const walks = fc
  .array(fc.oneof({ weight: 5, arbitrary: text }, { weight: 5, arbitrary: audio }, stage, used, boundary), {
    maxLength: 60,
  })
  .map((events) => {
    let round = 0
    let [written, ms] = [0, 0]
    let start = { written, ms }
    return events.flatMap((event): ReadonlyArray<NewTurnEvent> => {
      if (event === "next") {
        round += 1
        start = { written, ms }
        return [roundStarted(round)]
      }
      if (event === "again") {
        ;({ written, ms } = start)
        return [roundStarted(round)]
      }
      if (event._tag === "TextDelta") written += event.text.length
      if (event._tag !== "Audio") return [event]
      ms += event.ms
      return [event, { _tag: "SpokenTo", text: written, ms }]
    })
  })

/** The events of the last try of each round. */
const lastTries = (events: ReadonlyArray<NewTurnEvent>): ReadonlyArray<ReadonlyArray<NewTurnEvent>> => {
  const rounds: Array<Array<NewTurnEvent>> = [[]]
  for (const event of events) {
    if (event._tag === "RoundStarted") rounds[event.round] = []
    else rounds.at(-1)?.push(event)
  }
  return rounds
}
const writtenIn = (events: ReadonlyArray<NewTurnEvent>) =>
  events.map((event) => (event._tag === "TextDelta" ? event.text : "")).join("")

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

  test("a round has the text of its last try, and the reply the audio of all of these", () => {
    fc.assert(
      fc.property(walks, (events) => {
        const state = fold(events, begin(spoken, true))
        const last = lastTries(events)
        expect(roundsOf(state).map((round) => round.text)).toEqual(last.map(writtenIn))
        const audio = last.flat().flatMap((event) => (event._tag === "Audio" ? [event] : []))
        expect(state.audioMs).toBe(audio.reduce((sum, { ms }) => sum + ms, 0))
        expect(Chunk.toReadonlyArray(state.audio)).toEqual(audio.map(({ bytes }) => bytes))
      }),
    )
  })

  test("usage adds up over all rounds", () => {
    fc.assert(
      fc.property(walks, (events) => {
        const inputs = events.flatMap((event) =>
          event._tag === "Used" ? [event.consumed.usage.inputTokens] : [],
        )
        expect(fold(events).consumed.usage.inputTokens).toBe(inputs.reduce((sum, n) => sum + n, 0))
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
        // A retry drops the output of its round, unless some of that was sent by then.
        const begins = events.map((event, n) => {
          if (event._tag !== "RoundStarted" || event.round === 0) return -1
          return events.findIndex((other) => other._tag === "RoundStarted" && other.round === event.round) ===
            n
            ? n
            : -1
        })
        const isDropped = (n: number) => {
          const begin = begins.findLast((at, m) => m <= n && at >= 0) ?? -1
          const end = begins.findIndex((at, m) => m > n && at >= 0)
          return events.some((event, m) => {
            const isRetry = event._tag === "RoundStarted" && begins[m] === -1
            const isOfRound = m > n && (end < 0 || m < end)
            return isRetry && isOfRound && !events.slice(begin + 1, m).some(isSent)
          })
        }
        const first = events.findIndex((event, n) => !isDropped(n) && isOutput(event))
        expect(state.firstOutput).toEqual(first < 0 ? Option.none() : Option.some(first + 1))
        const firstAudio = events.findIndex((event, n) => !isDropped(n) && event._tag === "Audio")
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

describe("heardMessages", () => {
  const deliveries = fc.tuple(walks, fc.nat(80), fc.nat(80))

  test("is a prefix of each message that ends with a segment", () => {
    fc.assert(
      fc.property(deliveries, ([events, delivered]) => {
        const state = fold(events)
        const end = state.spoken.findLast(({ seq }) => seq <= delivered)?.text ?? 0
        for (const { round, text, ms } of heardMessages(state, { delivered })) {
          expect(text).toBe(round.text.slice(0, Math.max(0, end - round.start.text)).trimEnd())
          expect(ms).toBeGreaterThanOrEqual(0)
        }
      }),
    )
  })

  test("grows with what was delivered, and with what was played", () => {
    fc.assert(
      fc.property(deliveries, ([events, one, other]) => {
        const state = fold(events)
        const [less, more] = [Math.min(one, other), Math.max(one, other)]
        expect(heardReply(state, { delivered: more }).text).toStartWith(
          heardReply(state, { delivered: less }).text,
        )
        const played = (part: number) => heardReply(state, { playedMs: part * 50 }).text
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
        const spokenTexts = roundsOf(state)
          .filter((round) => round.text !== "")
          .map((round) => round.text.slice(0, Math.max(0, end - round.start.text)).trimEnd())
        const texts = (upTo: HeardUpTo) => heardMessages(state, upTo).map((message) => message.text)
        expect(texts({ delivered: events.length })).toEqual(spokenTexts)
        expect(texts({ playedMs: state.audioMs })).toEqual(spokenTexts)
      }),
    )
  })

  test("nothing delivered, or nothing played, is nothing heard", () => {
    const state = fold([
      { _tag: "TextDelta", text: "Hello. " },
      { _tag: "Audio", bytes: new Uint8Array(1), ms: 100 },
      { _tag: "SpokenTo", text: 7, ms: 100 },
    ])
    expect(heardReply(state, { delivered: 1 }).text).toBe("")
    expect(isHeard(state, { delivered: 1 })).toBe(false)
    expect(heardReply(state, { playedMs: 20 }).text).toBe("")
    expect(heardReply(state, { delivered: 3 }).text).toBe("Hello.")
    expect(heardReply(state, { playedMs: 100 }).text).toBe("Hello.")
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
    expect(heardReply(state, { playedMs: 2099 }).text).toBe("One moment. The train")
    expect(heardReply(state, { playedMs: 3999 }).text).toBe("One moment. The train to Lyon leaves at")
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
    expect(heardReply(state, { playedMs: 4100 }).text).toBe("A first sentence, quite long. The second")
    const first = fold([
      { _tag: "TextDelta", text: "Well, that is a long story." },
      { _tag: "Audio", bytes: new Uint8Array(1), ms: 900 },
    ])
    expect(heardReply(first, { playedMs: 900 }).text).toBe("Well, that is")
  })

  test("text without spaces is cut between words", () => {
    const reply = "今日の天気は晴れです。"
    const state = fold([
      { _tag: "TextDelta", text: reply },
      { _tag: "Audio", bytes: new Uint8Array(1), ms: 1100 },
      { _tag: "SpokenTo", text: reply.length, ms: 1100 },
    ])
    expect(heardReply(state, { playedMs: 350 }).text).toBe("今日の")
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
  expect(before).toMatchObject({ round: { text: "", thinkingSent: 15 }, audioMs: 100 })
  expect(heardMessages(before, { playedMs: 100 })).toEqual([])
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
  expect(replyOf(state)).toBe("Paris. Yes.")
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
  expect(state).toMatchObject({ round: { text: "Paris.", thinkingSent: 0 }, audioMs: 0, spoken: [] })
})

describe("a reply of several rounds", () => {
  const [first, second] = [messageIdOf(0), messageIdOf(1)]
  const audio = (ms: number): NewTurnEvent => ({ _tag: "Audio", bytes: new Uint8Array(1), ms })
  const call = { callId: "call_1", name: "weather", arguments: "{}", itemId: newId(ItemId) }
  const called: ReadonlyArray<NewTurnEvent> = [
    roundStarted(0),
    { _tag: "TextDelta", text: "Let me see." },
    audio(1000),
    { _tag: "SpokenTo", text: 11, ms: 1000 },
    { _tag: "RoundEnded", reason: "tools" },
    { _tag: "ToolCalled", by: "service", ...call },
    // A sentence that is no part of the reply.
    audio(500),
    { _tag: "SpokenTo", text: 11, ms: 1500 },
    { _tag: "ToolReturned", callId: "call_1", itemId: newId(ItemId), output: "Sun.", isError: false },
  ]
  const answered: ReadonlyArray<NewTurnEvent> = [
    ...called,
    roundStarted(1),
    { _tag: "TextDelta", text: "It is sunny in Rome." },
    audio(2000),
    { _tag: "SpokenTo", text: 31, ms: 3500 },
  ]

  test("keeps the text, the calls and the results of the rounds before", () => {
    const state = fold(answered)
    expect(replyOf(state)).toBe("Let me see. It is sunny in Rome.")
    expect(state.earlier).toMatchObject([
      { text: "Let me see.", calls: [{ ...call, by: "service", result: { value: { output: "Sun." } } }] },
    ])
    expect(state.round).toMatchObject({
      text: "It is sunny in Rome.",
      calls: [],
      start: { text: 11, ms: 1500 },
    })
  })

  test("loses only its own of a try that is dropped", () => {
    const output = { format: "mp3", streamsText: false, streaming: false } as const
    const dropped = fold([...answered, roundStarted(1)], begin(output, true))
    const before = fold(called, begin(output, true))
    expect(dropped).toMatchObject({ audioMs: 1500, spoken: before.spoken, firstAudioAt: before.firstAudioAt })
    expect(Chunk.size(dropped.audio)).toBe(2)
    expect(replyOf(dropped)).toBe("Let me see.")
    expect(dropped.earlier).toMatchObject([{ calls: [{ result: Option.some({ output: "Sun." }) }] }])
  })

  test("is heard message by message, by the time of the whole or of one", () => {
    const state = fold(answered)
    const heard = (upTo: HeardUpTo) =>
      heardMessages(state, upTo).map(({ round, text, ms, isWhole }) => ({
        id: Option.getOrUndefined(round.messageId),
        text,
        ms,
        isWhole,
      }))
    const whole = { id: first, text: "Let me see.", ms: 1500, isWhole: true }
    expect(heard({ playedMs: 600 })).toEqual([
      { id: first, text: "Let me", ms: 600, isWhole: false },
      { id: second, text: "", ms: 0, isWhole: false },
    ])
    expect(heard({ playedMs: 1200 })).toEqual([
      { ...whole, ms: 1200 },
      { id: second, text: "", ms: 0, isWhole: false },
    ])
    const cut = [whole, { id: second, text: "It is sunny", ms: 1200, isWhole: false }]
    expect(heard({ playedMs: 2700 })).toEqual(cut)
    expect(heard({ playedMs: 1200, itemId: second })).toEqual(cut)
    expect(heard({ playedMs: 3500 })).toEqual([
      whole,
      { id: second, text: "It is sunny in Rome.", ms: 2000, isWhole: true },
    ])
    expect(heardText(state, second, 1200)).toBe("It is sunny")
    expect(heardText(state, newId(ItemId), 1200)).toBe("")
  })

  test("counts the times of its first answer", () => {
    const timed = fold([
      roundStarted(0),
      { _tag: "StageStarted", stage: "llm" },
      { _tag: "RoundEnded", reason: "tools" },
      roundStarted(1),
      { _tag: "StageStarted", stage: "llm" },
      { _tag: "Used", consumed: { usage: noUsage, bill: freeBill(noPrices) } },
      { _tag: "TextDelta", text: "Hi." },
      { _tag: "StageStarted", stage: "tts" },
      audio(100),
    ])
    expect(timingsOf(timed)).toMatchObject({ llmTtft: 10, ttsTtfb: 10, firstAudio: 80 })
  })
})
