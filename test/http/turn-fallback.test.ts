import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { Schema } from "effect"
import { wav16k } from "../support/audio.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"
import { fail, type Stage, type Step, startUpstream, type Upstream } from "../support/upstream.ts"

let second: Upstream
let service: TurnService
let key = ""
let recording: Uint8Array = new Uint8Array()
beforeAll(async () => {
  second = await startUpstream()
  const fallbacks = ["STT", "LLM", "TTS"].flatMap((stage) => [
    [`${stage}_FALLBACK_BASE_URL`, second.baseUrl],
    [`${stage}_FALLBACK_API_KEY`, "sk-second"],
    [`${stage}_FALLBACK_MODEL`, "second-whisper"],
  ])
  service = await startTurns({
    speed: 20,
    env: { ...Object.fromEntries(fallbacks), BREAKER_FAILURES: "4", BREAKER_SECONDS: "600" },
  })
  key = await service.register()
  recording = await wav16k()
})
afterAll(async () => {
  await service.stop()
  await second.stop()
})
beforeEach(() => {
  service.reset()
  second.reset()
})
afterEach(() => service.nothingLeft())

const converse = (accept = "application/json") => service.converse(key, new Blob([recording]), { accept })
const stages = ["stt", "llm", "tts"] as const
const Ready = Schema.Struct({
  status: Schema.String,
  checks: Schema.Struct({
    stt: Schema.Struct({ status: Schema.String }),
    llm: Schema.Struct({ status: Schema.String }),
  }),
})
const readiness = async () =>
  Schema.decodeUnknownSync(Ready)(await (await service.call("GET", "/ready")).json())

const breaks: ReadonlyArray<readonly [string, Step]> = [
  ["refuses", fail.status(503)],
  ["is rate-limited", fail.rateLimited(60)],
  ["rejects the key", fail.unauthorized()],
  ["breaks off", fail.reset("headers")],
]

describe.each(stages)("the first server of %s", (stage: Stage) => {
  test.each(breaks)("%s: the second is called with its own key and model", async (_, step) => {
    service.upstream.script(stage, [step])
    second.default("llm", { text: "I am the second one." })
    const answer = await converse()
    expect(answer.status).toBe(200)
    const body: unknown = await answer.json()
    if (stage === "llm") expect(body).toMatchObject({ response: "I am the second one." })
    if (stage === "stt") expect(body).toMatchObject({ usage: { audioSeconds: 4 } })
    expect(service.upstream.calls(stage)).toHaveLength(
      stage === "tts" ? service.upstream.calls("tts").length : 1,
    )
    const [asked] = second.calls(stage)
    expect(asked?.headers.authorization).toBe("Bearer sk-second")
    expect(JSON.stringify(asked?.request)).toContain("second-whisper")
  })

  test("answers: the second is never called", async () => {
    expect((await converse()).status).toBe(200)
    expect(stages.flatMap((each) => second.calls(each))).toEqual([])
  })

  test("rejects the request: the second is not called", async () => {
    service.upstream.default(stage, fail.badRequest("No."))
    const answer = await converse()
    expect(answer.status).toBe(400)
    expect(await answer.json()).toMatchObject({ error: "INVALID_REQUEST", message: "No." })
    expect(second.calls(stage)).toEqual([])
  })
})

test("a heard reply is not generated again", async () => {
  service.upstream.default("tts", fail.reset({ bytes: 12_000 }))
  await expect(converse("audio/mpeg").then((answer) => answer.bytes())).rejects.toThrow()
  expect(second.calls("tts")).toEqual([])
})

test("the breaker skips a dead server; /ready names a dead second", async () => {
  expect(await readiness()).toMatchObject({ status: "ready", checks: { stt: { status: "ok" } } })
  service.upstream.default("stt", fail.status(500))
  for (let turn = 0; turn < 6; turn++) expect((await converse()).status).toBe(200)
  expect(service.upstream.calls("stt")).toHaveLength(4)
  // /ready is cached for a second.
  await until(async () => (await readiness()).checks.stt.status === "degraded", "a stage on its fallback")

  second.default("stt", fail.status(500))
  for (let turn = 0; turn < 4; turn++) {
    const answer = await converse()
    expect(answer.status).toBe(500)
    expect(await answer.json()).toMatchObject({ error: "STT_FAILED" })
  }
  expect(service.upstream.calls("stt")).toHaveLength(4)
  expect(second.calls("stt").filter(({ outcome }) => outcome === "failed")).toHaveLength(4)
  await until(async () => (await readiness()).checks.stt.status === "failing", "a stage that is said to fail")
  expect(await readiness()).toMatchObject({ status: "ready", checks: { llm: { status: "ok" } } })
})
