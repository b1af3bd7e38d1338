import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { makeClientModel, modelFile } from "../../scripts/generate/client-model.ts"
import { makeClient, VoiceAgentError } from "../../src/client/client.ts"
import { wav16k } from "../support/audio.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"
import { DEFAULT_REPLY, DEFAULT_TRANSCRIPT } from "../support/upstream.ts"
import { startWire, type Wire } from "./wire.ts"

let service: TurnService
let wire: Wire
let apiKey: string
let recording: Blob

beforeAll(async () => {
  service = await startTurns()
  wire = await startWire(service.url)
  apiKey = await service.register()
  recording = new Blob([new Uint8Array(await wav16k())])
})
beforeEach(() => {
  service.reset()
  wire.reset()
})
afterAll(async () => {
  await wire.stop()
  await service.stop()
})

const make = () => makeClient({ baseUrl: wire.url, apiKey, pauseMs: 1 })

/** The error of a call. */
const failure = async (call: Promise<unknown>): Promise<VoiceAgentError> => {
  const error = await call.then(
    () => undefined,
    (error: unknown) => error,
  )
  if (error instanceof VoiceAgentError) return error
  throw new Error(`not a VoiceAgentError: ${error}`)
}

/** A listener that records a turn. */
const makeRecorder = () => {
  const heard = { text: "", audio: 0, events: [] as string[], turnId: "", sessionId: "" }
  const hash = new Bun.CryptoHasher("sha256")
  return {
    heard,
    hash: () => hash.digest("hex"),
    listener: {
      onStarted: ({ turnId, sessionId }: { readonly turnId: string; readonly sessionId: string }) => {
        heard.events.push("started")
        Object.assign(heard, { turnId, sessionId })
      },
      onTranscript: (text: string) => heard.events.push(text),
      onText: (text: string) => {
        heard.text += text
      },
      onAudio: (bytes: Uint8Array, format: string) => {
        expect(format).toBe("mp3")
        heard.audio += bytes.length
        hash.update(bytes)
      },
    },
  }
}

describe("calls", () => {
  test("register, login, ready", async () => {
    const anyone = makeClient({ baseUrl: service.url.replace("/api/v1", "/") })
    const email = `${crypto.randomUUID()}@example.com`
    const { userId, apiKey } = await anyone.register(email)
    const user = makeClient({ baseUrl: service.url, apiKey })
    expect(await user.login()).toEqual({ token: apiKey, userId, email })
    expect(await anyone.ready()).toEqual({
      status: "ready",
      checks: {
        database: { status: "ok" },
        ffmpeg: { status: "ok" },
        stt: { status: "ok", engine: expect.any(String), model: "whisper-1" },
        llm: { status: "ok", engine: expect.any(String), model: "gpt-3.5-turbo" },
        tts: { status: "ok", engine: expect.any(String), model: "tts-1" },
        vad: { status: expect.any(String), engine: expect.any(String) },
      },
    })
    expect((await failure(anyone.register(email))).code).toBe("EMAIL_TAKEN")
    expect((await failure(anyone.sessions.list())).code).toBe("UNAUTHORIZED")
  })

  test("sessions", async () => {
    const { sessions } = makeClient({ baseUrl: service.url, apiKey: await service.register() })
    const first = await sessions.create({ title: "First", metadata: { a: 1 } })
    const second = await sessions.create()
    const page = await sessions.list({ limit: 1 })
    expect(page.sessions.map(({ id }) => id)).toEqual([second.sessionId])
    const next = await sessions.list({ limit: 1, cursor: page.nextCursor ?? "" })
    expect(next.sessions.map(({ title }) => title)).toEqual(["First"])
    expect(await sessions.get(first.sessionId)).toMatchObject({
      title: "First",
      metadata: { a: 1 },
      expired: false,
    })
    expect(await sessions.update(first.sessionId, { title: null })).toMatchObject({ title: null })
    expect(await sessions.messages(first.sessionId, { limit: 5 })).toEqual([])
    await sessions.delete(first.sessionId)
    const gone = await failure(sessions.get(first.sessionId))
    expect(gone).toMatchObject({ code: "SESSION_NOT_FOUND", status: 404, requestId: expect.any(String) })
  })
})

test("src/client/model.ts is up to date: `bun run generate` writes it", async () => {
  expect(await Bun.file(modelFile).text()).toBe(await makeClientModel())
})

describe("a turn", () => {
  test("arrives in parts and as a whole", async () => {
    const { heard, listener } = makeRecorder()
    const turn = await make().converse(recording, listener)
    expect(turn).toMatchObject({
      transcript: DEFAULT_TRANSCRIPT,
      response: DEFAULT_REPLY,
      usage: { audioSeconds: 2 },
    })
    expect(heard).toMatchObject({ text: DEFAULT_REPLY, events: ["started", DEFAULT_TRANSCRIPT] })
    expect(heard).toMatchObject({ turnId: turn.turnId, sessionId: turn.sessionId })
    expect(heard.audio).toBeGreaterThan(1000)
    const messages = await make().sessions.messages(turn.sessionId)
    expect(messages.map(({ role, content }) => [role, content])).toEqual([
      ["user", DEFAULT_TRANSCRIPT],
      ["assistant", DEFAULT_REPLY],
    ])
    const next = await make().converse(recording, { sessionId: turn.sessionId })
    expect(next.sessionId).toBe(turn.sessionId)
  })

  test("from a text opens a session, and continues where its connection broke", async () => {
    const { heard, listener } = makeRecorder()
    const turn = await make().converse("Hello there.", listener)
    expect(turn).toMatchObject({ transcript: "Hello there.", response: DEFAULT_REPLY })
    expect(heard).toMatchObject({ text: DEFAULT_REPLY, events: ["started", "Hello there."] })
    wire.reset()
    wire.breakAfter(Math.ceil(wire.received() * 0.9))
    const next = await make().converse("And again.", { sessionId: turn.sessionId })
    expect([wire.broken(), next.sessionId]).toEqual([1, turn.sessionId])
    const messages = await make().sessions.messages(turn.sessionId)
    expect(messages.map(({ content }) => content)).toEqual([
      "Hello there.",
      DEFAULT_REPLY,
      "And again.",
      DEFAULT_REPLY,
    ])
  })

  test("continues where its connection broke", async () => {
    const text = "One sentence that is long enough to be spoken alone. Then another, höher und länger 😀."
    service.upstream.default("llm", { text })
    const whole = makeRecorder()
    await make().converse(recording, whole.listener)
    const size = wire.received()
    for (const part of [0.001, 0.02, 0.05, 0.2, 0.5, 0.9, 0.999]) {
      wire.reset()
      wire.breakAfter(Math.ceil(size * part))
      const idempotencyKey = crypto.randomUUID()
      const broken = makeRecorder()
      const turn = await make().converse(recording, { idempotencyKey, ...broken.listener })
      expect(wire.broken()).toBe(1)
      const replayed = makeRecorder()
      expect(await make().converse(recording, { idempotencyKey, ...replayed.listener })).toEqual(turn)
      expect(broken.heard).toEqual({ ...replayed.heard, text, events: ["started", DEFAULT_TRANSCRIPT] })
      expect(broken.hash()).toBe(replayed.hash())
      expect(await make().sessions.messages(turn.sessionId)).toHaveLength(2)
    }
  })

  test("without a connection is NETWORK_LOST after the retries", async () => {
    wire.breakAfter(1, Number.POSITIVE_INFINITY)
    const error = await failure(make().converse(recording))
    expect(error).toMatchObject({ code: "NETWORK_LOST", status: undefined })
    expect(wire.broken()).toBe(3)
  })

  test("with a permanent error is not retried", async () => {
    const error = await failure(make().converse(new Blob(["no audio at all"])))
    expect(error).toMatchObject({ code: "INVALID_AUDIO", status: 400, requestId: expect.any(String) })
    const stranger = makeClient({ baseUrl: wire.url, apiKey: "sk_wrong", pauseMs: 1 })
    expect(await failure(stranger.converse(recording))).toMatchObject({
      code: "INVALID_API_KEY",
      status: 401,
    })
    expect(wire.connections()).toBeLessThanOrEqual(2)
  })

  test("that fails midway rejects after its text and audio", async () => {
    service.upstream.script("llm", [
      {
        text: "One sentence that was fine. Another that was not.",
        chunkDelayMs: 5,
        breakOff: { how: "reset", after: { tokens: 8 } },
      },
    ])
    const { heard, listener } = makeRecorder()
    const error = await failure(make().converse(recording, listener))
    expect([error.code, error.status]).toEqual(["LLM_FAILED", undefined])
    expect(heard.text).toStartWith("One sentence that was fine.")
  })

  test("aborted during its audio is cancelled on the service", async () => {
    service.upstream.default("llm", { text: "A sentence. And one more. ".repeat(20), chunkDelayMs: 20 })
    const controller = new AbortController()
    let textAfter = 0
    const error = await failure(
      make().converse(recording, {
        signal: controller.signal,
        onAudio: () => controller.abort(),
        onText: () => {
          if (controller.signal.aborted) textAfter += 1
        },
      }),
    )
    expect(error.code).toBe("ABORTED")
    await service.nothingLeft()
    expect(textAfter).toBe(0)
  })

  test("aborted before its id arrives is cancelled when it does", async () => {
    const client = make()
    const { sessionId } = await client.sessions.create()
    service.upstream.default("stt", { delayMs: 300 })
    service.upstream.default("llm", { text: "A sentence. And one more. ".repeat(20), chunkDelayMs: 50 })
    const controller = new AbortController()
    const { heard, listener } = makeRecorder()
    const turn = failure(client.converse(recording, { sessionId, signal: controller.signal, ...listener }))
    await until(() => service.upstream.calls("stt").length === 1, "the transcription")
    controller.abort()
    expect((await turn).code).toBe("ABORTED")
    await service.nothingLeft()
    expect(heard.events).toEqual([])
    expect(service.upstream.calls("llm").every(({ outcome }) => outcome === "aborted by client")).toBe(true)
  })

  test("with an aborted signal sends no request", async () => {
    expect((await failure(make().converse(recording, { signal: AbortSignal.abort() }))).code).toBe("ABORTED")
    expect(wire.connections()).toBe(0)
  })
})
