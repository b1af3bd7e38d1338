import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { Schema } from "effect"
import { wav16k } from "../support/audio.ts"
import { decode } from "../support/ffmpeg.ts"
import { startTurns, type TurnService } from "../support/turns.ts"
import { fail, type Stage, type Step } from "../support/upstream.ts"

const SPEED = 20

let service: TurnService
let key = ""
let recording: Blob
beforeAll(async () => {
  service = await startTurns({ speed: SPEED, env: { TURN_TIMEOUT_SECONDS: "300" } })
  key = await service.register()
  recording = new Blob([await wav16k()])
})
afterAll(() => service.stop())
beforeEach(() => {
  service.reset()
  // One sentence is one segment and one TTS call.
  service.upstream.default("llm", { text: "Yes, I can hear you quite well." })
})
afterEach(() => service.nothingLeft())

const stages = ["stt", "llm", "tts"] as const
const stageFailed = { stt: "STT_FAILED", llm: "LLM_FAILED", tts: "TTS_FAILED" } as const

const raw = (body: string, contentType: string): Step => ({ raw: { body, contentType } })

/** The failures of each stage that are retried. */
const mendable: Record<Stage, Record<string, Step>> = {
  stt: {
    "cut-off JSON": fail.cutJson(),
    "JSON of another shape": fail.wrongShape(),
    "a null transcript": raw('{"text":null}', "application/json"),
    "a reset within the body": fail.reset({ bytes: 10 }),
    "a body short of its length": fail.cutOff({ bytes: 10 }),
  },
  llm: {
    "JSON instead of a stream": fail.cutJson(),
    "content: null": fail.nullContent(),
    "no choices": fail.noChoices(),
    "an empty reply": { text: "" },
    "a blank reply": { text: " \n " },
    "no end mark": fail.withoutDone(),
    "no end mark after a token": fail.withoutDone({ tokens: 1 }),
    "an error event": fail.errorEvent({ tokens: 0 }),
    "an error event after tokens": fail.errorEvent({ tokens: 2 }),
    "a reset after tokens": fail.reset({ tokens: 2 }),
    "a close after tokens": fail.cutOff({ tokens: 2 }),
    "broken JSON in the stream": raw('data: {"choices":[{\n\n', "text/event-stream"),
  },
  tts: {
    "JSON as audio": raw('{"error":"busy"}', "application/json"),
    "HTML called audio": raw("<html>busy</html>", "audio/mpeg"),
    "JSON called audio": raw('{"error":"busy"}', "audio/mpeg"),
    "bytes that are no MP3": { audio: new Uint8Array(3000).fill(7) },
    "a tag without sound": { audio: Buffer.from("ID3\x04\0\0\0\0\0\x0a0123456789") },
    "a reset within the first frame": fail.reset({ bytes: 60 }),
    "a close within the first frame": fail.cutOff({ bytes: 60 }),
  },
}
for (const stage of stages) {
  for (const status of [408, 409, 500, 503]) mendable[stage][`a ${status}`] = fail.status(status)
  Object.assign(mendable[stage], {
    "a 429": fail.rateLimited(),
    "a 429 with a wait of 2 s": fail.rateLimited(2),
    "a 502 as HTML": fail.html(502),
    "HTML with a 200": fail.html(),
    "no bytes": fail.empty(stage === "tts" ? "audio/mpeg" : "application/json"),
    "a reset before the status": fail.reset(),
    "a close before the status": fail.cutOff(),
    "a reset after the headers": fail.reset("headers"),
    "a close after the headers": fail.cutOff("headers"),
  } satisfies Record<string, Step>)
}

/** One failure of each kind, to see where the retries end. */
const hopeless = new Set([
  "a 500",
  "HTML with a 200",
  "no bytes",
  "a reset before the status",
  "a reset within the body",
  "a blank reply",
  "no end mark",
  "bytes that are no MP3",
])

/** Each one is paid for, so they get one more try. */
const empty = new Set(["content: null", "no choices", "an empty reply", "a blank reply"])
const triesOf = (name: string) => (empty.has(name) ? 2 : 3)

const converse = (accept = "audio/mpeg") => service.converse(key, recording, { accept })

describe.each(stages)("%s", (stage) => {
  test.each(Object.entries(mendable[stage]))("%s is retried", async (name, step) => {
    service.upstream.script(
      stage,
      Array.from({ length: triesOf(name) - 1 }, () => step),
    )
    const answer = await converse()
    expect(answer.status).toBe(200)
    expect((await answer.bytes()).length).toBeGreaterThan(1000)
    expect(service.upstream.calls(stage)).toHaveLength(triesOf(name))
    expect(service.upstream.refusals()).toEqual([])
  })

  test.each(Object.entries(mendable[stage]).filter(([name]) => hopeless.has(name)))(
    "%s in every try is the stage's failure",
    async (name, step) => {
      const before = await service.stored()
      service.upstream.script(stage, [step, step, step])
      const answer = await converse()
      expect(answer.status).toBe(500)
      expect(await answer.json()).toMatchObject({ error: stageFailed[stage] })
      expect(service.upstream.calls(stage)).toHaveLength(triesOf(name))
      expect(await service.stored()).toEqual(before)
    },
  )

  test.each([
    ["a 400", fail.badRequest("Try it otherwise."), 400, "INVALID_REQUEST"],
    ["a 401", fail.unauthorized(), 500, "INVALID_OPENAI_KEY"],
    ["a 403", fail.forbidden(), 500, "INVALID_OPENAI_KEY"],
    ["a 404", fail.notFound(), 500, stageFailed[stage]],
    ["a 413", fail.status(413), 500, stageFailed[stage]],
    ["a 422", fail.status(422), 500, stageFailed[stage]],
    ["a spent quota", fail.quota(), 500, stageFailed[stage]],
    ["a 429 with a wait of 30 s", fail.rateLimited(30), 429, "RATE_LIMIT_EXCEEDED"],
  ] as const)("%s is not retried", async (_, step, status, error) => {
    service.upstream.script(stage, [step])
    const answer = await converse()
    expect(answer.status).toBe(status)
    expect(await answer.json()).toMatchObject({ error })
    expect(service.upstream.calls(stage)).toHaveLength(1)
  })

  test.each([
    ["a 404", fail.notFound(), `check ${stage.toUpperCase()}_MODEL`],
    ["a 402", fail.status(402), "has no credit left"],
    ["a spent quota", fail.quota(), "has no credit left"],
    ["a 422", fail.status(422), `${stage.toUpperCase()}_`],
  ])("%s says what the operator has to do", async (_, step, message) => {
    service.upstream.script(stage, [step])
    const answer = await converse()
    expect(answer.status).toBe(500)
    expect(await answer.json()).toMatchObject({
      error: stageFailed[stage],
      message: expect.stringContaining(message),
    })
  })

  test("a 400 has the provider's message", async () => {
    service.upstream.script(stage, [fail.badRequest("The voice is not known.")])
    expect(await (await converse()).json()).toMatchObject({ message: "The voice is not known." })
  })

  test.each([
    ["three without a wait", [fail.rateLimited(), fail.rateLimited(), fail.rateLimited()], 3, 1],
    ["three with one of 2 s", [fail.rateLimited(2), fail.rateLimited(2), fail.rateLimited(2)], 3, 2],
    ["one with 30 s", [fail.rateLimited(30)], 1, 30],
    [
      "one with a date",
      [fail.rateLimited(new Date(Date.now() + 3_600_000).toUTCString())],
      1,
      expect.any(Number),
    ],
    [
      "one whose limit ends in 30 s",
      [{ ...fail.rateLimited(), headers: { "x-ratelimit-reset-requests": "30s" } }],
      1,
      30,
    ],
  ] as const)("429, %s: has the provider's Retry-After", async (_, steps, calls, seconds) => {
    service.upstream.script(stage, steps)
    const answer = await converse()
    expect(await answer.json()).toMatchObject({
      error: "RATE_LIMIT_EXCEEDED",
      message: "OpenAI API rate limit exceeded. Please try again later.",
      retryAfter: seconds,
    })
    expect(Number(answer.headers.get("retry-after"))).toEqual(seconds)
    expect(service.upstream.calls(stage)).toHaveLength(calls)
  })
})

describe("an empty transcript", () => {
  test.each(["", " ", "\n\t", "\0"])("%j is a transcript, not a failure", async (text) => {
    service.upstream.script("stt", [{ text }])
    const answer = await converse()
    expect(answer.status).toBe(400)
    expect(await answer.json()).toMatchObject({ error: "NO_SPEECH_DETECTED" })
    expect(service.upstream.calls("stt")).toHaveLength(1)
    expect(service.upstream.calls("llm")).toEqual([])
  })
})

describe("JSON", () => {
  const text = "Yes, I can hear you. It is a fine day, and I would go for a walk in it."
  const inPauses = { text, chunkDelayMs: 100 }
  const Answer = Schema.Struct({
    response: Schema.String,
    audio: Schema.NullOr(Schema.Struct({ base64: Schema.String })),
    usage: Schema.Struct({
      audioSeconds: Schema.Number,
      charactersSpoken: Schema.Number,
      outputTokens: Schema.Number,
    }),
  })
  const answerOf = async (answer: Response) => {
    expect(answer.status).toBe(200)
    return Schema.decodeUnknownSync(Answer)(await answer.json())
  }
  /** The number of samples, at 24 kHz. */
  const samplesOf = async ({ audio }: typeof Answer.Type) =>
    (await decode(Buffer.from(audio?.base64 ?? "", "base64"))).samples.length

  test("retries a model that breaks off after a spoken sentence", async () => {
    service.upstream.default("llm", { text })
    const uninterrupted = await answerOf(await converse("application/json"))
    service.upstream.reset()
    service.upstream.default("llm", { text })
    service.upstream.script("llm", [{ ...inPauses, ...fail.reset({ tokens: 12 }) }])
    const answer = await answerOf(await converse("application/json"))
    expect(service.upstream.calls("tts").length).toBeGreaterThan(2)
    expect(answer.response).toBe(text)
    expect(await samplesOf(answer)).toBe(await samplesOf(uninterrupted))
    // The usage includes failed attempts.
    expect(answer.usage.charactersSpoken).toBeGreaterThan(uninterrupted.usage.charactersSpoken)
    expect(answer.usage.outputTokens).toBeGreaterThan(uninterrupted.usage.outputTokens)
  })

  test("retries a segment of audio that breaks off", async () => {
    const uninterrupted = await answerOf(await converse("application/json"))
    service.upstream.script("tts", [fail.reset({ bytes: 6000 }), fail.cutOff({ bytes: 6000 })])
    const answer = await answerOf(await converse("application/json"))
    expect(service.upstream.calls("tts")).toHaveLength(4)
    expect(await samplesOf(answer)).toBe(await samplesOf(uninterrupted))
  })

  test.each([
    ["no retry", [], []],
    ["failures with a status", [fail.status(500)], [fail.status(503), fail.status(500)]],
    ["answers that break off", [fail.cutJson(), fail.reset({ bytes: 10 })], [fail.reset({ bytes: 6000 })]],
  ])("counts each request in the usage: %s", async (_, stt, tts) => {
    service.upstream.script("stt", stt)
    service.upstream.script("tts", tts)
    const { usage } = await answerOf(await converse("application/json"))
    expect(service.upstream.calls("stt")).toHaveLength(stt.length + 1)
    const inputs = service.upstream.calls("tts").map(({ request }) => request.input)
    expect(inputs).toHaveLength(tts.length + 1)
    expect(usage).toMatchObject({
      audioSeconds: 2 * (stt.length + 1),
      charactersSpoken: inputs.reduce((sum, { length }) => sum + length, 0),
    })
  })

  test("retries a reply without audio", async () => {
    const made = await service.call("POST", "/sessions", { key })
    const { sessionId } = Schema.decodeUnknownSync(Schema.Struct({ sessionId: Schema.String }))(
      await made.json(),
    )
    service.upstream.default("llm", { text })
    service.upstream.script("llm", [{ text, ...fail.errorEvent({ tokens: 9 }) }])
    const answer = await service.call("POST", `/sessions/${sessionId}/messages?audio=false`, {
      key,
      body: { text: "Well?" },
      headers: { accept: "application/json" },
    })
    expect((await answerOf(answer)).response).toBe(text)
    expect(service.upstream.calls("llm")).toHaveLength(2)
  })
})
