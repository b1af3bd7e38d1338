import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { wav16k } from "../support/audio.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { eventsIn, orderOf, writtenIn } from "../support/events.ts"
import { noTurnRuns } from "../support/sessions.ts"
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts"
import { startTurns, type TurnService } from "../support/turns.ts"
import { fail, type Step } from "../support/upstream.ts"
import { silence, wavOf } from "../support/wav.ts"

let database: TestDatabase
let proxy: TcpProxy
let service: TurnService
let key = ""
let recording: Uint8Array = new Uint8Array()
beforeAll(async () => {
  database = await makeDatabase()
  proxy = await startTcpProxy(database.url)
  const soon = { STT_TIMEOUT_SECONDS: "5", LLM_TIMEOUT_SECONDS: "5", TTS_TIMEOUT_SECONDS: "5" }
  service = await startTurns({ database, speed: 15, env: { DATABASE_URL: proxy.url, ...soon } })
  key = await service.register()
  recording = await wav16k()
})
afterAll(async () => {
  await service.stop()
  await proxy.stop()
  await database.drop()
})

/** The first sentence has 18 tokens and is a segment of its own. */
const sentences = [0, 1, 2].map(
  (n) => `Sentence number ${n} says a few words about the weather, the sea and the time of the day.`,
)
const reply = sentences.join(" ")
beforeEach(() => {
  service.reset()
  service.upstream.default("llm", { text: reply })
  service.upstream.default("tts", { seconds: 0.6 })
})
afterEach(async () => {
  proxy.restore()
  await service.nothingLeft()
})

const ask = async (audio = recording) => (await service.converseRaw(key, audio, "text/event-stream")).answer()

/** The stored items of the newest turn. */
const stored = async () => {
  const [turn] = await database.sql`select id, state, response from turns order by sequence desc limit 1`
  const messages = await database.sql`
    select role, content, interrupted from messages where turn_id = ${turn.id} order by sequence`
  return { turn, messages: [...messages] }
}

describe("failures before the transcript have a status", () => {
  const refused: ReadonlyArray<readonly [string, number, string, Step]> = [
    ["no speech in it", 400, "NO_SPEECH_DETECTED", { text: " \n" }],
    ["broken", 500, "STT_FAILED", fail.notFound()],
    ["refused", 400, "INVALID_REQUEST", fail.badRequest()],
    ["without a key", 500, "INVALID_OPENAI_KEY", fail.unauthorized()],
    ["without quota", 500, "STT_FAILED", fail.quota()],
    ["down at each try", 500, "STT_FAILED", fail.status(500)],
    ["silent at each try", 500, "STT_FAILED", fail.hang("headers")],
  ]
  test.each(refused)("transcription: %s is a %d", async (_, status, error, step) => {
    const before = await service.stored()
    service.upstream.default("stt", step)
    const answer = await ask()
    expect({ status: answer.status, whole: answer.whole }).toEqual({ status, whole: true })
    expect(answer.headers.get("content-type")).toStartWith("application/json")
    expect(JSON.parse(answer.body.toString())).toMatchObject({ error, requestId: expect.any(String) })
    expect(await service.stored()).toEqual(before)
    expect(service.upstream.calls("llm")).toEqual([])
  })

  test.each([
    ["silence", "NO_SPEECH_DETECTED", wavOf(silence(1))],
    ["text", "INVALID_AUDIO", Buffer.from("This is no audio at all.".repeat(100))],
    ["nothing", "INVALID_AUDIO", new Uint8Array()],
  ])("an upload of %s is a %s", async (_, error, audio) => {
    // Whisper invents text for silence; this one does not.
    service.upstream.default("stt", { text: "" })
    const answer = await ask(audio)
    expect(answer.status).toBe(400)
    expect(JSON.parse(answer.body.toString())).toMatchObject({ error })
  })

  test("a form without audio is a VALIDATION_ERROR", async () => {
    const form = new FormData()
    form.append("sessionId", "")
    const answer = await fetch(`${service.url}/voice/conversation`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, accept: "text/event-stream" },
      body: form,
    })
    expect(answer.status).toBe(400)
    expect(await answer.json()).toMatchObject({
      error: "VALIDATION_ERROR",
      message: "Audio file is required",
    })
  })
})

/** Fails only the TTS call of this sentence. */
const speak = (number: number, step: Step) =>
  service.upstream.default("tts", ({ input }) =>
    input.includes(`number ${number}`) ? { seconds: 0.6, ...step } : { seconds: 0.6 },
  )
const write = (step: Step) => service.upstream.default("llm", { text: reply, ...step })

/** The failure, the error's code, the number of LLM calls, and the event before the error. */
type Failure = readonly [string, () => void, string, number, "transcript" | "reply.delta" | "audio"]

const failures: ReadonlyArray<Failure> = [
  ["the model rejects the request", () => write(fail.badRequest()), "INVALID_REQUEST", 1, "transcript"],
  ["the model's key is wrong", () => write(fail.unauthorized()), "INVALID_OPENAI_KEY", 1, "transcript"],
  ["the model stays rate-limited", () => write(fail.rateLimited(60)), "RATE_LIMIT_EXCEEDED", 1, "transcript"],
  ["the model is down", () => write(fail.status(503)), "LLM_FAILED", 3, "transcript"],
  ["the model's reply is empty", () => write({ text: "" }), "LLM_FAILED", 2, "transcript"],
  ["the model is silent", () => write(fail.hang("headers")), "LLM_FAILED", 3, "transcript"],
  ["the model breaks off in a word", () => write(fail.reset({ tokens: 1 })), "LLM_FAILED", 1, "reply.delta"],
  // With a second word, the first one would be spoken before the timeout.
  ["the model stalls within a word", () => write(fail.hang({ tokens: 1 })), "LLM_FAILED", 1, "reply.delta"],
  ["TTS rejects the request", () => speak(0, fail.badRequest()), "INVALID_REQUEST", 1, "reply.delta"],
  ["TTS is down", () => speak(0, fail.status(500)), "TTS_FAILED", 1, "reply.delta"],
  ["TTS stalls", () => speak(0, fail.hang()), "TTS_FAILED", 1, "reply.delta"],
  [
    "TTS breaks off",
    () => speak(0, { ...fail.reset({ bytes: 9000 }), chunkBytes: 1500, chunkDelayMs: 60 }),
    "TTS_FAILED",
    1,
    "audio",
  ],
  ["TTS is down for a later segment", () => speak(1, fail.status(500)), "TTS_FAILED", 1, "audio"],
  ["the model falls silent", () => write(fail.hang({ tokens: 30 })), "LLM_FAILED", 1, "audio"],
  ["the model has no end mark", () => write(fail.withoutDone()), "LLM_FAILED", 1, "audio"],
  [
    "the model sends an error",
    () => write({ ...fail.errorEvent({ tokens: 30 }), chunkDelayMs: 8 }),
    "LLM_FAILED",
    1,
    "audio",
  ],
]

describe("failures after the transcript are a last error event", () => {
  test.each(failures)("%s", async (_, letDown, error, tries, last) => {
    letDown()
    const answer = await ask()
    expect({ status: answer.status, whole: answer.whole }).toEqual({ status: 200, whole: true })
    const events = eventsIn(answer.body)
    expect(events.at(-1)).toEqual({
      id: `${events.length}`,
      event: "error",
      data: { error, message: expect.stringMatching(/^[A-Z]/) },
    })
    const all = ["turn.started", "transcript", "reply.delta", "audio"]
    expect(new Set(orderOf(events.slice(0, -1)))).toEqual(new Set(all.slice(0, all.indexOf(last) + 1)))
    expect(service.upstream.calls("llm")).toHaveLength(tries)
    await service.nothingLeft()
    const { turn, messages } = await stored()
    const [, assistant] = messages
    const isHeard = last === "audio"
    expect(turn.state).toBe(isHeard ? "interrupted" : "failed")
    expect(messages.map(({ role, interrupted }) => `${role} ${interrupted}`)).toEqual(
      isHeard ? ["user false", "assistant true"] : [],
    )
    // The item has the heard sentences; the turn keeps the whole text.
    if (isHeard) {
      const heard = sentences.map((_, n) => sentences.slice(0, n).join(" "))
      expect(heard).toContain(assistant.content)
      expect(turn.response).toStartWith(assistant.content)
      expect(writtenIn(events)).toBe(turn.response)
    }
  })
})

describe("failures before the first text are retried silently", () => {
  test.each([
    ["refuses", fail.status(500)],
    ["is reset", fail.reset()],
    ["breaks off before the first word", fail.cutOff({ tokens: 0 })],
    ["says nothing", { text: "" }],
    ["is busy for a moment", fail.rateLimited(1)],
  ])("the model %s", async (_, step) => {
    service.upstream.script("llm", [step])
    const events = eventsIn((await ask()).body)
    expect(events.at(-1)).toMatchObject({ event: "turn.completed", data: { response: reply } })
    expect(writtenIn(events)).toBe(reply)
    expect(service.upstream.calls("llm")).toHaveLength(2)
  })

  test("a segment without sent audio", async () => {
    service.upstream.script("tts", [fail.status(500), fail.empty("audio/mpeg")])
    const events = eventsIn((await ask()).body)
    expect(events.at(-1)?.event).toBe("turn.completed")
    expect(writtenIn(events)).toBe(reply)
    expect(service.upstream.calls("llm")).toHaveLength(1)
  })
})

const losses: ReadonlyArray<readonly [string, () => void]> = [
  ["is gone", () => proxy.cut()],
  ["does not answer", () => proxy.stall()],
  ["goes before the items are stored", () => proxy.breakOn(/insert into "?items/i, "before", 2)],
  ["goes before the commit", () => proxy.breakOn(/^commit/i, "before", 2)],
]

test.each(losses)("no turn.completed without a save: the database %s", async (_, lose) => {
  service.upstream.default("tts", { seconds: 1, chunkBytes: 2000, chunkDelayMs: 15 })
  const client = await service.converseRaw(key, recording, "text/event-stream")
  await client.until(({ body }) => body.includes("event: audio\n"))
  lose()
  const answer = await client.answer()
  expect(answer.whole).toBe(true)
  const events = eventsIn(answer.body)
  expect(writtenIn(events)).toBe(reply)
  expect(events.at(-1)).toMatchObject({ event: "error", data: { error: "DATABASE_UNAVAILABLE" } })
  expect(events.filter(({ event }) => event === "turn.completed")).toEqual([])
  proxy.restore()
  await service.nothingLeft()
  // The turn is finalized when the database is back.
  await noTurnRuns(service)
  const { turn, messages } = await stored()
  expect(turn.state).not.toBe("completed")
  expect(messages.every(({ role, interrupted }) => role === "user" || interrupted)).toBe(true)
})
