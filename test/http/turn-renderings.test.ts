import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { Schema } from "effect"
import { wav16k } from "../support/audio.ts"
import { decode } from "../support/ffmpeg.ts"
import { tonesIn } from "../support/listen.ts"
import { startTurns, type TurnService } from "../support/turns.ts"

const Measured = Schema.Struct({
  audio: Schema.Struct({ base64: Schema.String }),
  timings: Schema.Record({ key: Schema.String, value: Schema.NonNegativeInt }),
})
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const REPLY = "It is raining, and it is rather cold. Take a coat with you!"

let service: TurnService
let key = ""
let recording: Uint8Array = new Uint8Array()
beforeAll(async () => {
  service = await startTurns()
  key = await service.register()
  recording = await wav16k()
})
afterAll(() => service.stop())
beforeEach(() => {
  service.reset()
  service.upstream.default("stt", { text: "How is the weather?" })
  service.upstream.default("llm", { text: REPLY })
})
afterEach(() => service.nothingLeft())

const converse = (headers: Record<string, string> = {}) =>
  service.converse(key, new Blob([recording]), { headers })

/** The tones of the segments, in order. */
const tones = () =>
  service.upstream
    .calls("tts")
    .toSorted((a, b) => REPLY.indexOf(a.request.input) - REPLY.indexOf(b.request.input))
    .flatMap(({ spoken }) => (spoken === undefined ? [] : [spoken.hz]))

/** The samples of all segments, at 24 kHz. */
const length = () =>
  service.upstream.calls("tts").reduce((sum, { spoken }) => sum + (spoken?.samples ?? 0), 0)

describe("Accept", () => {
  test.each([
    ["*/*", "audio/mpeg"],
    ["audio/*", "audio/mpeg"],
    ["audio/mpeg", "audio/mpeg"],
    ["AUDIO/MPEG", "audio/mpeg"],
    ["audio/mp3", "audio/mpeg"],
    ["audio/x-wav", "audio/wav"],
    ["audio/wav", "audio/wav"],
    ["audio/pcm", "audio/pcm"],
    ["application/json", "application/json"],
    ["application/*", "application/json"],
    // The default of axios.
    ["application/json, text/plain, */*", "application/json"],
    ["text/html, audio/wav;q=0.4, audio/mpeg;q=0.3", "audio/wav"],
    ["audio/mpeg;q=0.5, application/json", "application/json"],
    ["audio/*;q=0.5, application/json;q=0.4", "audio/mpeg"],
    ["audio/mpeg;q=0, audio/*", "audio/wav"],
    ["*/*;q=0.1, audio/pcm;q=0.2", "audio/pcm"],
    ["audio/wav;codecs=1", "audio/wav"],
    ["", "audio/mpeg"],
  ])("%s: %s", async (accept, type) => {
    const answer = await converse({ accept })
    await answer.bytes()
    expect({ status: answer.status, type: answer.headers.get("content-type") }).toEqual({ status: 200, type })
  })

  test("without Accept: audio/mpeg", async () => {
    const client = await service.converseRaw(key, recording, undefined)
    expect((await client.answer()).headers.get("content-type")).toBe("audio/mpeg")
    client.leave()
  })

  test.each(["text/html", "image/png, text/plain", "audio/ogg", "audio/mpeg;q=0", "*/*;q=0"])(
    "%s: 406",
    async (accept) => {
      const answer = await converse({ accept })
      expect(answer.status).toBe(406)
      expect(await answer.json()).toMatchObject({
        error: "NOT_ACCEPTABLE",
        message: expect.stringContaining("audio/mpeg, audio/wav, audio/pcm, application/json"),
      })
      expect(service.upstream.calls("stt")).toEqual([])
    },
  )
})

describe("one turn", () => {
  test.each(["audio/mpeg", "audio/wav", "audio/pcm", "application/json"])(
    "as %s has its headers",
    async (accept) => {
      const { headers, ...answer } = await converse({ accept }).then(async (each) => ({
        headers: each.headers,
        status: each.status,
        body: await each.bytes(),
      }))
      expect(answer.status).toBe(200)
      expect(headers.get("cache-control")).toBe("no-store")
      expect(headers.get("x-accel-buffering")).toBe("no")
      expect(headers.get("x-turn-id")).toMatch(UUID)
      expect(headers.get("x-session-id")).toMatch(UUID)
      expect(headers.get("x-transcript")).toBe("How is the weather?")
      expect(headers.get("x-transcript-truncated")).toBeNull()
      expect(headers.get("x-request-id")).toMatch(UUID)
      const messages = await service.call("GET", `/sessions/${headers.get("x-session-id")}/messages`, { key })
      const turnId = headers.get("x-turn-id") ?? ""
      expect(await messages.json()).toMatchObject({
        messages: [
          { turnId, role: "user", content: "How is the weather?" },
          { turnId, role: "assistant", content: REPLY },
        ],
      })
    },
  )

  test("as audio/mpeg: one MP3", async () => {
    const bytes = await (await converse()).bytes()
    const { samples, log } = await decode(bytes)
    expect(log).toBe("")
    expect(tonesIn(samples)).toEqual(tones())
    expect(Buffer.from(bytes).includes("ID3") || Buffer.from(bytes).includes("Info")).toBe(false)
    expect(service.upstream.calls("tts").map(({ request }) => request.response_format)).toEqual([
      "mp3",
      "mp3",
    ])
  })

  test("as audio/pcm: only 24 kHz mono 16-bit samples", async () => {
    const bytes = await (await converse({ accept: "audio/pcm" })).bytes()
    expect(bytes.length).toBe(2 * length())
    expect(tonesIn(new Int16Array(bytes.buffer))).toEqual(tones())
    expect(service.upstream.calls("tts").map(({ request }) => request.response_format)).toEqual([
      "pcm",
      "pcm",
    ])
  })

  test.each([1, 3, 1001])("as audio/pcm from chunks of %d bytes", async (chunkBytes) => {
    service.upstream.default("tts", { chunkBytes, seconds: 0.4 })
    const bytes = await (await converse({ accept: "audio/pcm" })).bytes()
    expect(bytes.length).toBe(2 * length())
    expect(tonesIn(new Int16Array(bytes.buffer))).toEqual(tones())
  })

  test("as audio/pcm: half a sample at the end is dropped", async () => {
    const odd = new Uint8Array(20_001).fill(1)
    service.upstream.default("tts", { audio: odd })
    const bytes = await (await converse({ accept: "audio/pcm" })).bytes()
    expect(bytes.length).toBe(service.upstream.calls("tts").length * 20_000)
  })

  test("as audio/wav: a header, and the same samples", async () => {
    const bytes = await (await converse({ accept: "audio/wav" })).bytes()
    const header = Buffer.from(bytes.subarray(0, 44))
    expect({
      riff: header.toString("latin1", 0, 4),
      wave: header.toString("latin1", 8, 16),
      format: header.readUInt16LE(20),
      channels: header.readUInt16LE(22),
      rate: header.readUInt32LE(24),
      bits: header.readUInt16LE(34),
    }).toEqual({ riff: "RIFF", wave: "WAVEfmt ", format: 1, channels: 1, rate: 24_000, bits: 16 })
    const { samples } = await decode(bytes)
    expect(samples.length).toBe(length())
    expect(tonesIn(samples)).toEqual(tones())
  })

  test("as application/json: exactly the documented fields", async () => {
    const answer = await converse({ accept: "application/json" })
    const body: unknown = await answer.json()
    const ms = expect.any(Number)
    expect(body).toEqual({
      sessionId: answer.headers.get("x-session-id"),
      turnId: answer.headers.get("x-turn-id"),
      transcript: "How is the weather?",
      response: REPLY,
      toolCalls: [],
      audio: { format: "mp3", base64: expect.any(String) },
      timings: {
        upload: ms,
        validate: ms,
        transcode: ms,
        stt: ms,
        llmTtft: ms,
        ttsTtfb: ms,
        firstAudio: ms,
        total: ms,
      },
      usage: {
        audioSeconds: 2,
        inputTokens: expect.any(Number),
        outputTokens: expect.any(Number),
        charactersSpoken: REPLY.length - 1,
        cost: null,
        currency: "USD",
      },
    })
    const { audio, timings } = Schema.decodeUnknownSync(Measured)(body)
    const { samples, log } = await decode(Buffer.from(audio.base64, "base64"))
    expect(log).toBe("")
    expect(tonesIn(samples)).toEqual(tones())
    expect(timings.total).toBeGreaterThanOrEqual(timings.firstAudio ?? Number.NaN)
  })

  test("usage has the provider's counts", async () => {
    const answer = await converse({ accept: "application/json" })
    const [call] = service.upstream.calls("llm")
    const outputTokens = call?.sent.filter(({ token }) => token !== undefined).length ?? 0
    expect(await answer.json()).toMatchObject({ usage: { outputTokens } })
  })
})
