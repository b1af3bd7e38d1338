import { describe, expect } from "bun:test"
import { Effect } from "effect"
import { wrongAnswer } from "../../src/providers/errors.ts"
import { effectTest } from "../support/effect.ts"
import { checkKnown, checkTranscripts } from "../support/realtime-checks.ts"
import { makeSession, type SessionScript } from "../support/realtime-session.ts"

const prefix = "conversation.item.input_audio_transcription"
const make = (script: SessionScript = {}, transcription: object | null = {}) =>
  makeSession({ config: { type: "realtime", audio: { input: { transcription } } }, ...script })
type Session = Effect.Effect.Success<ReturnType<typeof make>>

const deltas = ({ of }: Session) => of(`${prefix}.delta`).map(({ delta }) => delta)
const check = ({ events }: Session) => {
  checkTranscripts(events)
  checkKnown(events)
}

describe("transcription deltas", () => {
  effectTest(
    "of short speech: the whole, before completed",
    Effect.gen(function* () {
      const session = yield* make({ transcripts: [{ text: "Hello there." }] })
      yield* session.speak(500)
      yield* session.pause()
      expect(deltas(session)).toEqual(["Hello there."])
      const types = session.types()
      expect(types.indexOf(`${prefix}.completed`)).toBe(types.indexOf(`${prefix}.delta`) + 1)
      expect(types.indexOf(`${prefix}.delta`)).toBeGreaterThan(types.indexOf("conversation.item.done"))
      check(session)
    }),
  )

  effectTest(
    "of long speech: each segment when the speech goes on",
    Effect.gen(function* () {
      const session = yield* make({
        transcripts: [{ text: "I want to" }, { text: "fly to Rome" }, { text: "tomorrow." }],
      })
      yield* session.speak(3500)
      yield* session.pause(300)
      expect(deltas(session)).toEqual([])
      yield* session.speak(3500)
      expect(deltas(session)).toEqual(["I want to"])
      yield* session.pause(300)
      yield* session.speak(500)
      expect(deltas(session)).toEqual(["I want to", " fly to Rome"])
      expect(session.types()).not.toContain("input_audio_buffer.committed")
      yield* session.pause()
      expect(deltas(session)).toEqual(["I want to", " fly to Rome", " tomorrow."])
      check(session)
    }),
  )

  effectTest(
    "wait for the segment before",
    Effect.gen(function* () {
      const session = yield* make({
        transcripts: [{ text: "First", afterMs: 5000 }, { text: "second" }, { text: "third." }],
      })
      yield* session.speak(3500)
      yield* session.pause(300)
      yield* session.speak(3500)
      yield* session.pause(300)
      yield* session.speak(500)
      expect(deltas(session)).toEqual([])
      yield* session.pass(5000)
      expect(deltas(session)).toEqual(["First second"])
      yield* session.pause()
      expect(deltas(session)).toEqual(["First second", " third."])
      check(session)
    }),
  )

  effectTest(
    "never have words that are heard again",
    Effect.gen(function* () {
      const session = yield* make({ transcripts: [{ text: "I" }, { text: "I want to fly." }] })
      yield* session.speak(500)
      yield* session.pause(300)
      yield* session.speak(500)
      yield* session.pause()
      expect(deltas(session)).toEqual(["I want to fly."])
      check(session)
    }),
  )

  effectTest(
    "of a segment that failed early come with the whole",
    Effect.gen(function* () {
      const session = yield* make({
        transcripts: [{ fail: wrongAnswer("stt", "away") }, { text: "I want to" }, { text: "fly." }],
      })
      yield* session.speak(3500)
      yield* session.pause(300)
      yield* session.speak(500)
      yield* session.pause()
      yield* session.pass(100)
      expect(session.of(`${prefix}.completed`).length).toBe(1)
      expect(deltas(session).length).toBe(1)
      check(session)
    }),
  )

  effectTest(
    "are not sent without transcription, or of speech without words",
    Effect.gen(function* () {
      const off = yield* make({ transcripts: [{ text: "Hello." }] }, null)
      const empty = yield* make({ transcripts: [{ text: "" }] })
      for (const session of [off, empty]) {
        yield* session.speak(500)
        yield* session.pause()
        expect(deltas(session)).toEqual([])
      }
      expect(empty.of(`${prefix}.completed`)).toMatchObject([{ transcript: "" }])
    }),
  )

  effectTest(
    "have all words if transcription is turned on in mid-speech",
    Effect.gen(function* () {
      const session = yield* make({ transcripts: [{ text: "I want to" }, { text: "fly." }] }, null)
      yield* session.speak(3500)
      yield* session.pause(300)
      yield* session.speak(500)
      yield* session.send({
        type: "session.update",
        session: { type: "realtime", audio: { input: { transcription: {} } } },
      })
      yield* session.pause()
      expect(deltas(session)).toEqual(["I want to fly."])
      check(session)
    }),
  )

  effectTest(
    "of a manual turn follow the commit",
    Effect.gen(function* () {
      const session = yield* makeSession({
        config: { type: "realtime", audio: { input: { transcription: {}, turn_detection: null } } },
        transcripts: [{ text: "I want to" }, { text: "fly." }],
      })
      yield* session.speak(3500)
      yield* session.pause(300)
      yield* session.speak(500)
      expect(deltas(session)).toEqual([])
      yield* session.send({ type: "input_audio_buffer.commit" })
      expect(deltas(session)).toEqual(["I want to fly."])
      check(session)
    }),
  )

  effectTest(
    "of speech over a reply come after speech_started",
    Effect.gen(function* () {
      const session = yield* make({
        thinks: [{ chunks: [{ text: "A long reply that is being played for a while." }] }],
        transcripts: [{ text: "Stop there" }, { text: "please." }],
      })
      yield* session.send({ type: "response.create" })
      yield* session.speak(3500)
      yield* session.pause(300)
      yield* session.speak(500)
      yield* session.pause()
      expect(deltas(session).join("")).toBe("Stop there please.")
      check(session)
    }),
  )
})
