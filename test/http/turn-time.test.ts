import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { hostResources } from "../../src/capacity.ts"
import { recordings, wav16k } from "../support/audio.ts"
import { startTurns, type TurnService } from "../support/turns.ts"
import { fail, type Stage, type Step } from "../support/upstream.ts"
import { expectProblem } from "./answers.ts"

/** A step that makes a stage stall. */
type Silence = readonly [string, Stage, Step]

const silences: ReadonlyArray<Silence> = [
  ["the transcript", "stt", fail.hang()],
  ["the transcript's body", "stt", fail.hang("headers")],
  ["the reply", "llm", fail.hang()],
  ["the first token", "llm", fail.hang("headers")],
  ["the next token", "llm", fail.hang({ tokens: 2 })],
  ["the speech", "tts", fail.hang()],
  ["the first byte of speech", "tts", fail.hang("headers")],
]
const stageFailed = { stt: "STT_FAILED", llm: "LLM_FAILED", tts: "TTS_FAILED" } as const

let recording: Blob
let service: TurnService
let key = ""

const serve = async (env: Record<string, string>, speed = 30) => {
  recording = new Blob([await wav16k()])
  service = await startTurns({ speed, env })
  key = await service.register()
}
const prepare = () => {
  service.reset()
  service.upstream.default("llm", { text: "Yes, I can hear you quite well." })
}

describe("the timeout of a stage", () => {
  beforeAll(() => serve({ STT_TIMEOUT_SECONDS: "10", TURN_TIMEOUT_SECONDS: "300" }))
  afterAll(() => service.stop())
  beforeEach(prepare)
  afterEach(() => service.nothingLeft())

  // 10 s are 333 ms here: each delay is shorter, both together are longer.
  const late: Step = { delayMs: 310, firstChunkDelayMs: 310 }

  test.each<Silence>([
    ...silences,
    ["the first token after late headers", "llm", late],
    ["the first byte of speech after late headers", "tts", late],
  ])("%s missing: a retry", async (_, stage, step) => {
    service.upstream.script(stage, [step])
    const answer = await service.converse(key, recording)
    expect(answer.status).toBe(200)
    await answer.bytes()
    expect(service.upstream.calls(stage).map(({ outcome }) => outcome)).toEqual([
      "aborted by client",
      "answered",
    ])
  })

  test("three timeouts are the stage's failure", async () => {
    service.upstream.default("llm", fail.hang())
    const answer = await service.converse(key, recording)
    expect(answer.status).toBe(500)
    expect(await answer.json()).toMatchObject({ error: "LLM_FAILED" })
    expect(service.upstream.calls("llm")).toHaveLength(3)
  })

  test("ffmpeg's: a slow recording is a 400", async () => {
    service.ffmpegHangs(true)
    const answer = await service.converse(key, new Blob([await recordings.mp3.make()]))
    expect(answer.status).toBe(400)
    expect(await answer.json()).toMatchObject({ error: "INVALID_AUDIO" })
    expect(service.ffmpegs()).toHaveLength(1)
  })
})

describe("the turn timeout", () => {
  beforeAll(() =>
    serve({
      STT_TIMEOUT_SECONDS: "600",
      LLM_TIMEOUT_SECONDS: "600",
      TTS_TIMEOUT_SECONDS: "600",
      TURN_TIMEOUT_SECONDS: "10",
    }),
  )
  afterAll(() => service.stop())
  beforeEach(prepare)
  afterEach(() => service.nothingLeft())

  test.each(silences)("%s missing: the error of the running stage", async (_, stage, step) => {
    service.upstream.script(stage, [step])
    const answer = await service.converse(key, recording)
    expect(answer.status).toBe(500)
    expect(await answer.json()).toMatchObject({ error: stageFailed[stage] })
    await service.nothingLeft()
    expect(service.upstream.calls(stage).map(({ outcome }) => outcome)).toEqual(["aborted by client"])
    expect(await service.stored()).toEqual({ sessions: 0, messages: 0 })
  })

  test("covers the wait for an earlier turn", async () => {
    const created = await service.call("POST", "/sessions", { key })
    const { sessionId } = (await created.json()) as { readonly sessionId: string }
    service.upstream.default("tts", { seconds: 1, chunkBytes: 1500, chunkDelayMs: 60 })
    const earlier = await service.converse(key, recording, { sessionId })
    const answer = await service.call("POST", `/sessions/${sessionId}/messages`, {
      key,
      body: { text: "And now?" },
    })
    await expectProblem(answer, { status: 409, code: "SESSION_BUSY" })
    await earlier.bytes()
  })

  test("covers the pauses between retries", async () => {
    service.upstream.default("stt", { ...fail.status(500), delayMs: 200 })
    const answer = await service.converse(key, recording)
    expect(await answer.json()).toMatchObject({ error: "STT_FAILED" })
    expect(service.upstream.calls("stt").length).toBeLessThanOrEqual(3)
  })

  test("does not limit a reply after its first audio", async () => {
    service.upstream.default("tts", { seconds: 1, chunkBytes: 1500, chunkDelayMs: 60 })
    const answer = await service.converse(key, recording)
    expect(answer.status).toBe(200)
    // 14 chunks take over 800 ms, longer than the turn timeout of 333 ms.
    expect((await answer.bytes()).length).toBeGreaterThan(18_000)
    expect(service.upstream.calls("tts").map(({ outcome }) => outcome)).toEqual(["answered"])
  })
})

describe("the turn timeout during decoding", () => {
  // No faster: all requests must arrive within a fraction of the timeout.
  beforeAll(() => serve({ TURN_TIMEOUT_SECONDS: "15" }, 8))
  afterAll(() => service.stop())
  beforeEach(prepare)
  afterEach(() => service.nothingLeft())

  test("is an error of the recording, and OVERLOADED while waiting for a slot", async () => {
    const { cores } = hostResources()
    const mp3 = new Blob([await recordings.mp3.make()])
    service.ffmpegHangs(true)
    const answers = await Promise.all(Array.from({ length: 3 * cores }, () => service.converse(key, mp3)))
    const { decoding = [], waiting = [] } = Object.groupBy(answers, ({ status }) =>
      status === 400 ? "decoding" : "waiting",
    )
    expect(decoding).toHaveLength(2 * cores)
    for (const answer of decoding) {
      await expectProblem(answer, {
        status: 400,
        code: "INVALID_AUDIO",
        message: /Decoding took too long/,
      })
    }
    for (const answer of waiting) await expectProblem(answer, { status: 503, code: "OVERLOADED" })
  })
})
