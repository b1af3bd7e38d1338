import { describe, expect } from "bun:test"
import { Duration, Effect, Exit, Fiber, Option, Scope } from "effect"
import { ProviderRefusedKey, ProviderUnusable } from "../../src/providers/errors.ts"
import type { Stage } from "../../src/schema.ts"
import { effectTest } from "../support/effect.ts"
import { makeSession, type SessionScript } from "../support/realtime-session.ts"

const transcripts = {
  type: "session.update",
  session: { type: "realtime", audio: { input: { transcription: { model: "whisper-1" } } } },
}
const say = (text: string) => ({
  type: "conversation.item.create",
  item: { type: "message", role: "user", content: [{ type: "input_text", text }] },
})
const respond = { type: "response.create" }
/** 128 items of this size are all that may wait for the database. */
const tooMuch = Array.from({ length: 130 }, (_, at) => say(`${at}`.padEnd(262_144, ".")))
/** Between two of these messages other connections have their turn. */
const sendTooMuch = (session: Effect.Effect.Success<ReturnType<typeof makeSession>>) =>
  Effect.zipRight(session.send(...tooMuch), Effect.repeatN(session.settle, 70))

const unusable = (stage: Stage, kind?: "no-credit") =>
  new ProviderUnusable({
    stage,
    reason: "scripted",
    retryable: false,
    retryAfter: Option.none(),
    ...(kind === undefined ? {} : { kind }),
  })

/** Codes that end a session of LiveKit's client. */
const fatal = ["insufficient_quota", "invalid_api_key", "account_deactivated", "billing_hard_limit_reached"]

/** One response that fails, then one that does not. */
const failsOnce = (name: string, script: SessionScript, code: string) =>
  effectTest(
    name,
    Effect.gen(function* () {
      const session = yield* makeSession(script)
      yield* session.send(say("Hi."), respond)
      yield* session.pass(1000)
      yield* session.send(respond)
      yield* session.pass(1000)
      const [failed, next] = session.of("response.done").map(({ response }) => response)
      expect(failed).toMatchObject({
        status: "failed",
        status_details: { type: "failed", error: { code, message: expect.stringContaining(".") } },
      })
      expect(next?.status).toBe("completed")
      expect(session.of("error")).toEqual([])
      expect(session.closed).toEqual([])
      expect(fatal).not.toContain(code)
    }),
  )

const sure = { chunks: [{ text: "Sure." }] }

effectTest(
  "the model is asked before the user's words are saved, and the reply is saved after them",
  Effect.gen(function* () {
    const session = yield* makeSession({ writeMs: 3000, thinks: [sure] })
    yield* session.send(say("Hi."), respond)
    expect(session.prompts.length).toBe(1)
    expect(session.types()).toContain("response.output_audio.delta")
    yield* session.pass(1000)
    expect([session.stored, session.of("response.done")]).toEqual([[], []])
    yield* session.pass(2000)
    expect(session.of("response.done").map(({ response }) => response.status)).toEqual(["completed"])
    expect(session.stored.map(({ item: { payload } }) => "text" in payload && payload.text)).toEqual([
      "Hi.",
      "Sure.",
    ])
  }),
)

effectTest(
  "a reply that is cancelled is saved after the user's words, too",
  Effect.gen(function* () {
    const session = yield* makeSession({ writeMs: 3000, thinks: [sure] })
    yield* session.send(say("Hi."), respond)
    yield* session.send({ type: "response.cancel" })
    yield* session.pass(1000)
    expect([session.stored, session.saved]).toEqual([[], []])
    yield* session.pass(2000)
    expect(session.stored.length).toBe(1)
    expect(session.saved.map(({ state }) => state)).toEqual(["interrupted"])
  }),
)

describe("a response that fails leaves the session usable:", () => {
  failsOnce("the language model", { thinks: [{ fail: unusable("llm") }, sure] }, "model_failed")
  failsOnce(
    "a model without credit",
    { thinks: [{ fail: unusable("llm", "no-credit") }, sure] },
    "model_failed",
  )
  failsOnce(
    "the server's key",
    { thinks: [{ fail: new ProviderRefusedKey({ stage: "llm" }) }, sure] },
    "provider_refused_server",
  )
  failsOnce(
    "speech synthesis",
    { thinks: [sure], speaks: [{ fail: unusable("tts") }, { chunks: [{ bytes: new Uint8Array(4800) }] }] },
    "speech_failed",
  )
  failsOnce("the save", { thinks: [sure], savesThatFail: 1 }, "database_unavailable")
  failsOnce("the rate limit", { thinks: [sure], refusals: ["rate limit"] }, "rate_limit_exceeded")
  failsOnce("admission", { thinks: [sure], refusals: ["overloaded"] }, "server_overloaded")

  effectTest(
    "a stalled model, within the time limit of a turn",
    Effect.gen(function* () {
      const session = yield* makeSession({
        thinks: [{ chunks: [{ text: "late", afterMs: Number.POSITIVE_INFINITY }] }, sure],
      })
      yield* session.send(say("Hi."), respond)
      yield* session.pass(Duration.toMillis("61 seconds"))
      expect(session.of("response.done")).toMatchObject([{ response: { status: "failed" } }])
      yield* session.send(respond)
      expect(session.of("response.done")).toHaveLength(2)
    }),
  )

  effectTest(
    "in the middle of the reply: what is open is closed",
    Effect.gen(function* () {
      const session = yield* makeSession({
        thinks: [{ chunks: [{ text: "One sentence is here now. " }], fail: unusable("llm") }],
      })
      yield* session.send(say("Hi."), respond)
      yield* session.pass(1000)
      expect(session.of("response.output_item.done")).toMatchObject([{ item: { status: "incomplete" } }])
      expect(session.types().at(-1)).toBe("response.done")
    }),
  )

  effectTest(
    "a model that is cut at its limit",
    Effect.gen(function* () {
      const session = yield* makeSession({
        thinks: [
          { ...sure, end: "length" },
          { ...sure, end: "filtered" },
        ],
      })
      yield* session.send(say("Hi."), respond, say("Go on."))
      yield* session.send(respond)
      expect(session.of("response.done").map(({ response }) => response.status_details)).toEqual([
        { type: "incomplete", reason: "max_output_tokens" },
        { type: "incomplete", reason: "content_filter" },
      ])
    }),
  )
})

describe("a transcription that fails", () => {
  effectTest(
    "has its event, makes no response, and the next utterance is answered",
    Effect.gen(function* () {
      const session = yield* makeSession({
        // The pause at the end of speech, and once more at its end.
        transcripts: [{ fail: unusable("stt") }, { fail: unusable("stt") }, { text: "Hello." }],
      })
      yield* session.send(transcripts)
      yield* session.speak(500)
      yield* session.pause()
      expect(session.of("conversation.item.input_audio_transcription.failed")).toMatchObject([
        { content_index: 0, error: { type: "server_error", code: "transcription_failed" } },
      ])
      expect(session.of("response.created")).toEqual([])
      yield* session.speak(500)
      yield* session.pause()
      expect(session.of("response.done")).toMatchObject([{ response: { status: "completed" } }])
    }),
  )

  effectTest(
    "is an error where the client gets no transcripts",
    Effect.gen(function* () {
      const session = yield* makeSession({ transcripts: [{ fail: unusable("stt") }] })
      yield* session.speak(500)
      yield* session.pause()
      expect(session.of("error")).toMatchObject([{ error: { code: "transcription_failed", event_id: null } }])
    }),
  )

  effectTest(
    "does not keep a response waiting",
    Effect.gen(function* () {
      const session = yield* makeSession({ transcripts: [{ fail: unusable("stt"), afterMs: 500 }] })
      yield* session.send({
        type: "session.update",
        session: { type: "realtime", audio: { input: { turn_detection: null } } },
      })
      yield* session.speak(500)
      yield* session.send({ type: "input_audio_buffer.commit" }, respond)
      yield* session.pass(600)
      expect(session.of("response.done")).toHaveLength(1)
    }),
  )
})

describe("the database", () => {
  effectTest(
    "is away for a moment: the words are saved, then answered",
    Effect.gen(function* () {
      const session = yield* makeSession({ writesThatFail: 3, transcripts: [{ text: "Hello." }] })
      yield* session.speak(500)
      yield* session.pause()
      expect(session.of("response.created")).toHaveLength(1)
      expect(session.prompts).toEqual([])
      yield* session.pass(500)
      yield* session.pass(500)
      yield* session.pass(500)
      expect(session.prompts[0]?.prompt.messages).toMatchObject([{ content: "Hello." }])
      expect(session.of("response.done")).toMatchObject([{ response: { status: "completed" } }])
    }),
  )

  effectTest(
    "is away for long: the response fails, and a later one has the words",
    Effect.gen(function* () {
      const session = yield* makeSession({ writesThatFail: 30 })
      yield* session.send(say("Hello."), respond)
      yield* session.pass(11_000)
      expect(session.of("response.done")).toMatchObject([
        { response: { status: "failed", status_details: { error: { code: "database_unavailable" } } } },
      ])
      yield* session.pass(10_000)
      yield* session.send(respond)
      expect(session.prompts[0]?.prompt.messages).toMatchObject([{ content: "Hello." }])
    }),
  )

  effectTest(
    "is away, and what is said and deleted is written behind more items than can wait",
    Effect.gen(function* () {
      const session = yield* makeSession({ writesThatFail: 5, transcripts: [{ text: "Hello." }] })
      yield* sendTooMuch(session)
      expect(session.of("error").map(({ error }) => error.code)).toEqual([
        "database_unavailable",
        "database_unavailable",
      ])
      yield* session.speak(500)
      yield* session.pause()
      const first = session.of("conversation.item.added").at(-2)
      yield* session.send({ type: "conversation.item.delete", item_id: first?.item.id })
      for (let at = 0; at < 6; at++) yield* session.pass(500)
      expect(session.stored.map(({ item: { payload } }) => "text" in payload && payload.text)).toContain(
        "Hello.",
      )
      expect(session.removed.map(String)).toEqual([first?.item.id ?? ""])
    }),
  )

  effectTest(
    "is slow: a refused response, and one outside the conversation, do not wait for it",
    Effect.gen(function* () {
      const session = yield* makeSession({
        writesThatFail: 5,
        thinks: [sure, sure],
        refusals: ["rate limit"],
      })
      yield* session.send(say("Hi."), respond)
      expect(session.of("response.done")).toMatchObject([
        { response: { status_details: { error: { code: "rate_limit_exceeded" } } } },
      ])
      const input = [{ type: "message", role: "user", content: [{ type: "input_text", text: "Sum up." }] }]
      yield* session.send({ ...respond, response: { conversation: "none", input } })
      expect(session.of("response.done").at(-1)).toMatchObject({ response: { status: "completed" } })
      for (let at = 0; at < 6; at++) yield* session.pass(500)
    }),
  )

  effectTest(
    "did not save a reply: the next item still creates the session",
    Effect.gen(function* () {
      const thinks = [
        { chunks: [{ text: "One sentence is here now. " }, { text: "More.", afterMs: 60_000 }] },
      ]
      // Its end would wait for the database.
      const scope = yield* Scope.make()
      const session = yield* Scope.extend(makeSession({ thinks, savesThatFail: 1000 }), scope)
      yield* session.send(respond)
      expect(session.of("response.output_audio.delta").length).toBeGreaterThan(0)
      yield* session.send({ type: "response.cancel" }, say("Hi."))
      for (let at = 0; at < 6; at++) yield* session.pass(500)
      expect(session.stored.map(({ isNew }) => isNew)).toEqual([true])
    }),
  )

  effectTest(
    "is away, and the client adds more than can wait",
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const session = yield* Scope.extend(makeSession({ writesThatFail: Number.POSITIVE_INFINITY }), scope)
      yield* sendTooMuch(session)
      expect(session.of("error").map(({ error }) => error.code)).toEqual([
        "database_unavailable",
        "database_unavailable",
      ])
      expect(session.of("conversation.item.added").length).toBe(128)
      // The end of the connection does not wait for ever.
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* session.pass(5000)
      // Nor does that of the service.
      yield* session.pass(5000)
      yield* Fiber.join(closing)
    }),
  )
})

effectTest(
  "a shutdown waits for the running response, and begins no other",
  Effect.gen(function* () {
    const session = yield* makeSession({ thinks: [{ chunks: [{ text: "Sure.", afterMs: 800 }] }] })
    yield* session.send(say("Hi."), respond)
    let isDrained = false
    yield* Effect.fork(
      Effect.tap(session.session.drain, () =>
        Effect.sync(() => {
          isDrained = true
        }),
      ),
    )
    yield* session.settle
    expect(isDrained).toBe(false)
    yield* session.pass(900)
    expect(session.of("response.done")).toMatchObject([{ response: { status: "completed" } }])
    expect(isDrained).toBe(true)
    yield* session.send(respond)
    expect(session.of("error")).toMatchObject([{ error: { code: "server_shutdown" } }])
  }),
)

effectTest(
  "a shutdown does not wait for a session that has ended",
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const script = { thinks: [{ chunks: [{ text: "Sure.", afterMs: Number.POSITIVE_INFINITY }] }] }
    const { session, send, pass } = yield* Scope.extend(makeSession(script), scope)
    yield* send(say("Hi."), respond)
    const draining = yield* Effect.fork(session.drain)
    yield* Effect.fork(Scope.close(scope, Exit.void))
    yield* pass(100)
    yield* Fiber.join(draining)
    yield* session.drain
  }),
  5000,
)
