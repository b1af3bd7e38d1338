import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { readdirSync } from "node:fs"
import { tmpdir } from "node:os"
import { wav16k } from "../support/audio.ts"
import { multipart, multipartType, partHead } from "../support/multipart.ts"
import { connectRaw, head, type RawClient } from "../support/raw-http.ts"
import { isTurnFolder, startTurns, type TurnService, until } from "../support/turns.ts"
import { fail } from "../support/upstream.ts"
import { expectProblem } from "./answers.ts"

const MB = 1024 ** 2

let service: TurnService
let keys: ReadonlyArray<string> = []
let recording: Uint8Array = new Uint8Array()
let audio = new Blob()
beforeAll(async () => {
  service = await startTurns({
    env: { MAX_TURNS: "2", MAX_TURNS_PER_USER: "1", TURN_QUEUE_SECONDS: "0.5", TURN_QUEUE_LENGTH: "1" },
  })
  keys = await Promise.all(Array.from({ length: 4 }, service.register))
  recording = await wav16k()
  audio = new Blob([recording])
})
afterAll(() => service.stop())
beforeEach(() => service.reset())
afterEach(() => service.nothingLeft())

const keyOf = (user: number) => keys[user] ?? ""
const overloaded = { status: 503, code: "OVERLOADED", message: /at capacity/ }
const ownBound = { status: 429, code: "RATE_LIMIT_EXCEEDED", message: /1 turns? in progress/ }

/** A turn that waits for its provider until its client disconnects. */
const hold = async (user: number): Promise<RawClient> => {
  const calls = service.upstream.calls("stt").length
  service.upstream.script("stt", [fail.hang()])
  const client = await service.converseRaw(keyOf(user), recording)
  await service.upstream.waitFor(() => service.upstream.calls("stt").length > calls, "a held turn")
  return client
}

const converse = async (user: number, headers: Record<string, string> = {}) => {
  const answer = await service.converse(keyOf(user), audio, { headers })
  return answer.status === 200 ? { status: 200, bytes: (await answer.bytes()).length } : answer
}
const takesTurns = async (...users: ReadonlyArray<number>) => {
  for (const user of users) expect((await converse(user)).status).toBe(200)
}

/** A client that has sent its headers and the first bytes of an upload. */
const begin = async (user: number, bytes: number): Promise<RawClient> => {
  const client = await connectRaw(service.url)
  const headers = {
    authorization: `Bearer ${keyOf(user)}`,
    "content-type": multipartType,
    "content-length": `${bytes}`,
  }
  await client.send(head("POST /api/v1/voice/conversation", headers))
  await client.send(partHead({ name: "audio", filename: "a.wav" }))
  return client
}

describe("all slots taken", () => {
  test("one more waits, then gets 503 before its body is read", async () => {
    const held = [await hold(0), await hold(1)]
    const late = await begin(2, 20 * MB)
    const answer = await late.answer()
    expect(answer.headers.get("retry-after")).toBe("1")
    expect({ status: answer.status, body: JSON.parse(answer.body.toString()) }).toMatchObject({
      status: 503,
      body: { error: "OVERLOADED", retryAfter: 1 },
    })
    // Nothing was stored.
    expect(readdirSync(tmpdir()).filter(isTurnFolder)).toHaveLength(2)
    for (const client of [late, ...held]) client.leave()
  })

  test("a client that sends its whole body first gets the 503", async () => {
    const held = [await hold(0), await hold(1)]
    const large = new Blob([new Uint8Array(20 * MB)])
    await expectProblem(await service.converse(keyOf(2), large), overloaded)
    for (const client of held) client.leave()
  })

  test("one more starts when another ends", async () => {
    const held = [await hold(0), await hold(1)]
    const late = converse(2)
    await service.turnsWaiting(1)
    held[0]?.leave()
    expect((await late).status).toBe(200)
    held[1]?.leave()
  })

  test("is 503 at once when the queue is full", async () => {
    const held = [await hold(0), await hold(1)]
    const waiting = await begin(2, MB)
    await service.turnsWaiting(1)
    await expectProblem(await service.converse(keyOf(3), audio), overloaded)
    // The waiting request still waits.
    expect(service.waiting()).toBe(1)
    for (const client of [waiting, ...held]) client.leave()
  })

  test.each(["close", "reset"] as const)("a disconnect by %s leaves the queue", async (how) => {
    const held = [await hold(0), await hold(1)]
    const waiting = await service.converseRaw(keyOf(2), recording)
    await service.turnsWaiting(1)
    waiting.leave(how)
    await service.turnsWaiting(0)
    const late = converse(3)
    await service.turnsWaiting(1)
    for (const client of held) client.leave()
    expect((await late).status).toBe(200)
    expect(service.upstream.calls("stt")).toHaveLength(3)
  })

  test("other requests are answered", async () => {
    const held = [await hold(0), await hold(1)]
    for (const path of ["/health", "/ready"]) expect((await service.call("GET", path)).status).toBe(200)
    expect((await service.call("GET", "/sessions", { key: keyOf(2) })).status).toBe(200)
    await expectProblem(await service.call("POST", "/voice/conversation"), {
      status: 401,
      code: "UNAUTHORIZED",
    })
    for (const client of held) client.leave()
  })
})

describe("a user", () => {
  test("with the most concurrent turns: 429, others run", async () => {
    const held = await hold(0)
    await expectProblem(await service.converse(keyOf(0), audio), ownBound)
    await takesTurns(1)
    held.leave()
  })

  test("that waits does not block other users", async () => {
    const held = await hold(0)
    const own = service.converse(keyOf(0), audio)
    await service.turnsWaiting(1)
    await expectProblem(await service.converse(keyOf(0), audio), ownBound)
    held.leave()
    expect((await own).status).toBe(200)
    await (await own).bytes()
  })
})

describe("a slot is released", () => {
  test("by turns that complete, fail or lose their client", async () => {
    service.upstream.script("stt", [{ text: "" }, {}, {}])
    service.upstream.script("tts", [{ ...fail.reset({ bytes: 9000 }), chunkBytes: 1500, chunkDelayMs: 60 }])
    await expectProblem(await service.converse(keyOf(0), audio), { status: 400, code: "NO_SPEECH_DETECTED" })
    await (await service.converse(keyOf(0), audio)).bytes().catch(() => undefined)
    const noForm = {
      method: "POST",
      headers: { authorization: `Bearer ${keyOf(0)}`, "content-type": multipartType },
    }
    const broken = await fetch(`${service.url}/voice/conversation`, { ...noForm, body: "no form" })
    expect(broken.status).toBe(400)
    ;(await hold(0)).leave()
    service.upstream.reset()
    await takesTurns(0, 0, 1, 1, 2)
  })

  test("when the response is sent", async () => {
    service.upstream.script("tts", [{ chunkDelayMs: 50, chunkBytes: 1000 }])
    const listener = await service.converseRaw(keyOf(0), recording)
    await listener.until(({ body }) => body.length > 0)
    await expectProblem(await service.converse(keyOf(0), audio), ownBound)
    listener.leave()
  })

  test("at the end of a turn that continues without its client", async () => {
    service.upstream.script("stt", [{ delayMs: 1500 }])
    const body = multipart([{ name: "audio", filename: "a.wav", content: recording }])
    const client = await connectRaw(service.url)
    await client.send(
      head("POST /api/v1/voice/conversation", {
        authorization: `Bearer ${keyOf(0)}`,
        "content-type": multipartType,
        "content-length": `${body.length}`,
        "idempotency-key": crypto.randomUUID(),
      }),
    )
    await client.send(body)
    await service.upstream.waitFor(() => service.upstream.calls("stt")[0], "a turn")
    client.leave()
    await expectProblem(await service.converse(keyOf(0), audio), ownBound)
    await until(() => service.upstream.calls("tts")[0]?.outcome === "answered", "the turn's end")
    await takesTurns(0)
  })
})
