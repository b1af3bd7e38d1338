import { describe, expect } from "bun:test"
import { Effect } from "effect"
import { wrongAnswer } from "../../src/providers/errors.ts"
import { QuotaExceeded } from "../../src/usage/spending.ts"
import { effectTest } from "../support/effect.ts"
import { makeSession } from "../support/realtime-session.ts"

const prices = { currency: "USD", models: { ears: { perAudioSecond: 0.001 } } }
const exceeded = new QuotaExceeded({
  limit: 5,
  currency: "USD",
  resetsAt: new Date("2026-02-01T00:00:00Z"),
  retryAfter: 60,
})
const sentence =
  "Your monthly limit of 5 USD is used up. It resets at 2026-02-01T00:00:00.000Z. For a higher limit, ask the operator."
const transcribing = {
  type: "session.update",
  session: { type: "realtime", audio: { input: { transcription: { model: "ears" } } } },
}

describe("a user who may spend no more", () => {
  effectTest(
    "is not transcribed, and no answer begins early",
    Effect.gen(function* () {
      const session = yield* makeSession({ env: { REALTIME_SPECULATIVE: "on" }, mayPay: () => exceeded })
      yield* session.send(transcribing)
      yield* session.speak(500)
      yield* session.pause(1000)
      expect(session.transcribed).toEqual([])
      expect(session.prompts).toEqual([])
      expect(session.of("conversation.item.input_audio_transcription.failed")).toMatchObject([
        { error: { type: "rate_limit_error", code: "quota_exceeded", message: sentence } },
      ])
    }),
  )

  effectTest(
    "gets no response",
    Effect.gen(function* () {
      const session = yield* makeSession({ mayPay: () => exceeded })
      yield* session.send({ type: "response.create" })
      expect(session.of("response.done")).toMatchObject([
        {
          response: {
            status: "failed",
            status_details: { error: { code: "quota_exceeded", message: sentence } },
          },
        },
      ])
      expect(session.prompts).toEqual([])
    }),
  )
})

describe("what transcriptions consume", () => {
  effectTest(
    "counts with the item that is stored",
    Effect.gen(function* () {
      const session = yield* makeSession({ prices, transcripts: [{ text: "Hello there." }] })
      yield* session.speak(1000)
      yield* session.pause()
      expect(session.stored[0]?.audioSeconds).toBeGreaterThan(0.9)
      expect(session.charged).toEqual([])
    }),
  )

  effectTest(
    "counts if there were no words",
    Effect.gen(function* () {
      const session = yield* makeSession({ prices, transcripts: [{ text: "" }] })
      yield* session.speak(1000)
      yield* session.pause()
      expect(session.stored).toEqual([])
      const [charged] = session.charged
      expect(charged?.usage.audioSeconds).toBeGreaterThan(0.9)
      expect(charged?.bill.nanos).toBeCloseTo((charged?.usage.audioSeconds ?? 0) * 1e6, 3)
      expect(session.charged).toHaveLength(1)
    }),
  )

  effectTest(
    "counts if it failed",
    Effect.gen(function* () {
      const fail = wrongAnswer("stt", "scripted", { isRetryable: false })
      const session = yield* makeSession({ prices, transcripts: [{ fail }] })
      yield* session.speak(1000)
      yield* session.pause()
      expect(session.transcribed.length).toBeGreaterThan(0)
      const seconds = session.transcribed.reduce((sum, { speech }) => sum + speech.seconds, 0)
      expect(session.charged.reduce((sum, { usage }) => sum + usage.audioSeconds, 0)).toBeCloseTo(seconds, 6)
    }),
  )

  for (const [what, writesThatFail] of [
    ["the database is away", 1_000_000],
    ["the session was deleted", 0],
  ] as const) {
    effectTest(
      `counts if its item is not stored: ${what}`,
      Effect.gen(function* () {
        const transcripts = [{ text: "Hello there." }]
        const session = yield* makeSession({ prices, transcripts, writesThatFail })
        if (writesThatFail === 0) session.deleteSession()
        yield* session.speak(1000)
        yield* session.pause()
        yield* session.pass(70_000)
        expect(session.stored).toEqual([])
        expect(session.charged).toHaveLength(1)
        expect(session.charged[0]?.usage.audioSeconds).toBeGreaterThan(0.9)
      }),
    )
  }
})
