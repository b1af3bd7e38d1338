import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { wav16k } from "../support/audio.ts"
import type { RawClient } from "../support/raw-http.ts"
import { answerByName, noTurnRuns, openSession, type TestSession } from "../support/sessions.ts"
import { startTurns, type TurnService } from "../support/turns.ts"
import { fail } from "../support/upstream.ts"
import { expectProblem } from "./answers.ts"

/** The turn that is waited for must not run out of its own time first. */
const patient = { STT_TIMEOUT_SECONDS: "600", LLM_TIMEOUT_SECONDS: "600", TURN_TIMEOUT_SECONDS: "600" }

let service: TurnService
let key = ""
let recording: Uint8Array = new Uint8Array()
let session: TestSession
beforeAll(async () => {
  service = await startTurns({ speed: 30, env: patient })
  key = await service.register()
  recording = await wav16k()
})
afterAll(() => service.stop())
beforeEach(async () => {
  service.reset()
  session = await openSession(service, key, recording)
  answerByName(service)
})
afterEach(async () => {
  await service.nothingLeft()
  await noTurnRuns(service)
})

const renderings = ["audio/mpeg", "audio/wav", "audio/pcm", "application/json", "text/event-stream"]

describe("a turn that would wait for more than 30 s", () => {
  let first: RawClient
  beforeEach(async () => {
    service.upstream.script("llm", [fail.hang()])
    first = await session.begin()
    await service.upstream.waitFor(() => service.upstream.calls("llm")[0])
  })

  test.each(renderings)("is refused as %s, and the session is as it was", async (accept) => {
    await expectProblem(await session.take(accept), {
      status: 409,
      code: "SESSION_BUSY",
      message: /still running/,
    })
    // It was heard, which has its price, but never answered.
    expect((await session.turns()).map(({ state }) => state)).toEqual(["running", "failed"])
    expect(service.upstream.calls("llm")).toHaveLength(1)
    first.leave()
    await (await session.take(accept)).bytes()
    expect(await session.messages()).toHaveLength(2)
  })

  test("is refused with all that wait, and each is refused", async () => {
    const answers = await Promise.all(renderings.map((accept) => session.take(accept)))
    expect(answers.map(({ status }) => status)).toEqual(renderings.map(() => 409))
    first.leave()
    expect((await session.take()).status).toBe(200)
  })

  test("is refused though its own speech is still being recognised", async () => {
    service.upstream.script("stt", [fail.hang()])
    await expectProblem(await session.take(), { status: 409, code: "SESSION_BUSY" })
    await service.upstream.waitFor(() => service.upstream.calls("stt")[1]?.outcome === "aborted by client")
    first.leave()
  })
})
