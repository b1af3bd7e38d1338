import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { wav16k } from "../support/audio.ts"
import {
  answerByName,
  answerTo,
  noTurnRuns,
  openSession,
  type TestSession,
  withoutNotes,
} from "../support/sessions.ts"
import { startTurns, type TurnService } from "../support/turns.ts"
import { fail } from "../support/upstream.ts"
import { expectProblem } from "./answers.ts"

let service: TurnService
let key = ""
let recording: Uint8Array = new Uint8Array()
let session: TestSession
beforeAll(async () => {
  service = await startTurns()
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

/** The transcripts of the next turns, in order. */
const hear = (...transcripts: ReadonlyArray<string>) =>
  service.upstream.script(
    "stt",
    transcripts.map((text) => ({ text })),
  )

/** The messages of an LLM call without the system prompt. */
const asked = (call: number) =>
  service.upstream
    .calls("llm")
    [call]?.request.messages.slice(1)
    .map(({ content }) => withoutNotes(content))

const llmCall = (call: number) => service.upstream.waitFor(() => service.upstream.calls("llm")[call])

/** A running turn whose model stalls. */
const beginHanging = async (accept?: string, step = fail.hang()) => {
  hear("one")
  service.upstream.script("llm", [step])
  const client = await session.begin(accept)
  await llmCall(0)
  return client
}

/** Long enough for a change that must not happen. */
const aMoment = () => Bun.sleep(60)

describe("turns of one session", () => {
  test("run in order behind a slow first turn", async () => {
    service.upstream.script("stt", [{ text: "one", delayMs: 150 }, { text: "two" }])
    const first = await session.begin()
    await service.upstream.waitFor(() => service.upstream.calls("stt").length === 1)
    const second = await session.begin()
    expect((await second.answer()).whole).toBe(true)
    expect((await first.answer()).whole).toBe(true)
    const all = ["one", answerTo("one"), "two", answerTo("two")]
    expect(await session.contents()).toEqual(all)
    expect(service.upstream.calls("llm")).toHaveLength(2)
    expect(asked(0)).toEqual(["one"])
    expect(asked(1)).toEqual(all.slice(0, 3))
    for (const client of [first, second]) client.leave()
  })

  test("are transcribed while they wait", async () => {
    const first = await beginHanging()
    hear("two")
    const second = await session.begin()
    await service.upstream.waitFor(() => service.upstream.calls("stt")[1]?.outcome === "answered")
    await aMoment()
    expect(service.upstream.calls("llm")).toHaveLength(1)
    first.leave()
    expect((await second.answer()).whole).toBe(true)
    expect(asked(1)).toEqual(["two"])
    second.leave()
  })

  test("fail without waiting", async () => {
    const first = await beginHanging()
    hear("")
    await expectProblem(await session.take(), { status: 400, code: "NO_SPEECH_DETECTED" })
    expect((await session.turns()).map(({ state }) => state)).toEqual(["running", "failed"])
    first.leave()
  })

  test("do not wait for another session", async () => {
    const first = await beginHanging()
    const other = await openSession(service, key, recording)
    for (const turn of [other.take(), service.converse(key, new Blob([recording]))]) {
      expect((await turn).status).toBe(200)
    }
    expect((await session.turns()).map(({ state }) => state)).toEqual(["running"])
    first.leave()
  })

  test("a disconnect while waiting leaves the queue", async () => {
    const first = await beginHanging()
    hear("two", "three")
    const second = await session.begin()
    await service.upstream.waitFor(() => service.upstream.calls("stt").length === 2)
    const third = await session.begin()
    second.leave("reset")
    await service.upstream.waitFor(() => service.upstream.calls("stt")[2]?.outcome === "answered")
    await aMoment()
    expect(service.upstream.calls("llm")).toHaveLength(1)
    first.leave()
    expect((await third.answer()).whole).toBe(true)
    expect(await session.contents()).toEqual(["three", answerTo("three")])
    expect(service.upstream.calls("llm")).toHaveLength(2)
    third.leave()
  })
})

describe("a turn continues when the one ahead", () => {
  const goesOn = async (history: ReadonlyArray<string>) => {
    hear("two")
    const second = await session.begin("application/json")
    await service.upstream.waitFor(() => service.upstream.calls("stt")[1]?.outcome === "answered")
    return async () => {
      expect(JSON.parse(`${(await second.answer()).body}`)).toMatchObject({ response: answerTo("two") })
      expect(asked(1)).toEqual([...history, "two"])
      second.leave()
    }
  }

  test("fails", async () => {
    const first = await beginHanging("audio/mpeg", { ...fail.badRequest(), delayMs: 150 })
    const finishes = await goesOn([])
    expect((await first.answer()).status).toBe(400)
    await finishes()
    first.leave()
  })

  test("is cancelled", async () => {
    const first = await beginHanging()
    const finishes = await goesOn([])
    const [turn] = await session.turns()
    expect((await service.call("DELETE", `/voice/turns/${turn?.id}`, { key })).status).toBe(204)
    await finishes()
    first.leave()
  })

  test("is interrupted: the heard part is history", async () => {
    const [heard, unheard] = ["This is heard to its end.", "And this is not heard to its end."]
    const audio = new Uint8Array(4800)
    service.upstream.script("tts", [{ audio }, { ...fail.hang({ bytes: 2400 }), audio }])
    const first = await beginHanging("audio/pcm", { text: `${heard} ${unheard}` })
    const finishes = await goesOn(["one", heard])
    await first.until(({ body }) => body.length > audio.length)
    first.leave()
    await finishes()
  })
})

describe("a session whose first turn runs", () => {
  const begun = async (accept = "text/event-stream") => {
    hear("one")
    const client = await service.converseRaw(key, recording, accept)
    const { body } = await client.until(({ body }) => body.includes("event: transcript\n"))
    const [, started = "{}"] = /^event: turn\.started\ndata: (.*)$/m.exec(`${body}`) ?? []
    const { sessionId } = JSON.parse(started)
    return { client, joined: await openSession(service, key, recording, sessionId) }
  }

  test("the second turn waits, and knows the first", async () => {
    const lock = await service.database.sql.reserve()
    try {
      await lock`begin`
      await lock`lock table items in exclusive mode`
      const { client, joined } = await begun()
      hear("two")
      const second = await joined.begin("application/json")
      await service.upstream.waitFor(() => service.upstream.calls("stt")[1]?.outcome === "answered")
      await aMoment()
      expect(service.upstream.calls("llm")).toHaveLength(1)
      expect((await service.call("GET", `/sessions/${joined.id}`, { key })).status).toBe(404)
      await lock`rollback`
      expect((await client.answer()).whole).toBe(true)
      expect((await second.answer()).status).toBe(200)
      expect(asked(1)).toEqual(["one", answerTo("one"), "two"])
      expect(await joined.contents()).toEqual(["one", answerTo("one"), "two", answerTo("two")])
      for (const each of [client, second]) each.leave()
    } finally {
      await lock`rollback`
      lock.release()
    }
  })

  test("the second turn takes it if the first fails", async () => {
    service.upstream.script("llm", [fail.hang({ tokens: 2 })])
    const { client, joined } = await begun()
    hear("two")
    const second = await joined.begin("application/json")
    client.leave()
    expect(JSON.parse(`${(await second.answer()).body}`)).toMatchObject({ sessionId: joined.id })
    expect(await joined.contents()).toEqual(["two", answerTo("two")])
    second.leave()
  })

  test("is unknown to another user", async () => {
    service.upstream.script("llm", [fail.hang({ tokens: 2 })])
    const { client, joined } = await begun()
    const stranger = await openSession(service, await service.register(), recording, joined.id)
    const answer = await stranger.take()
    expect(answer.status).toBe(200)
    expect(answer.headers.get("x-session-id")).not.toBe(joined.id)
    expect(asked(1)).toHaveLength(1)
    client.leave()
  })
})
