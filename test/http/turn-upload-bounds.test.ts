import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { readdirSync } from "node:fs"
import { tmpdir } from "node:os"
import { wav16k } from "../support/audio.ts"
import { formEnd, multipart, multipartType, partHead } from "../support/multipart.ts"
import { connectRaw, head, type RawClient } from "../support/raw-http.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"
import { fail } from "../support/upstream.ts"
import { expectProblem } from "./answers.ts"

const MB = 1024 ** 2
const overloaded = { status: 503, code: "OVERLOADED", message: /at capacity/ }

let recording: Uint8Array = new Uint8Array()
beforeAll(async () => {
  recording = await wav16k()
})

const audioHead = partHead({ name: "audio", filename: "a.wav" })
const chunk = (bytes: Uint8Array | string) =>
  Buffer.concat([
    Buffer.from(`${Buffer.from(bytes).length.toString(16)}\r\n`),
    Buffer.from(bytes),
    Buffer.from("\r\n"),
  ])

/** A client that has sent its headers and a part of an upload. */
const begin = async (
  service: TurnService,
  key: string,
  headers: Record<string, string> = { "transfer-encoding": "chunked" },
  first: Uint8Array = chunk(audioHead),
): Promise<RawClient> => {
  const client = await connectRaw(service.url)
  const own = { authorization: `Bearer ${key}`, "content-type": multipartType, accept: "audio/pcm" }
  await client.send(head("POST /api/v1/voice/conversation", { ...own, ...headers }))
  await client.send(first)
  return client
}
const codeOf = async (client: RawClient) => {
  const { status, body } = await client.answer()
  return `${status} ${/"error":"(\w+)"/.exec(body.toString())?.[1]}`
}
const converse = async (service: TurnService, key: string) => {
  const answer = await service.converse(key, new Blob([recording]))
  return answer.status === 200 ? { status: 200, bytes: (await answer.bytes()).length } : answer
}
const keysOf = (service: TurnService, count: number) =>
  Promise.all(Array.from({ length: count }, service.register))
const folders = () => readdirSync(tmpdir()).filter((name) => /^voice-agent-(?!test)/.test(name))

describe("slow uploads", () => {
  let service: TurnService
  beforeAll(async () => {
    service = await startTurns({
      env: { MAX_TURNS: "8", MAX_TURNS_PER_USER: "4", TURN_QUEUE_SECONDS: "0", MAX_UPLOADS: "512" },
    })
  })
  afterAll(() => service.stop())

  test("64 of 8 users block no turn", async () => {
    const keys = await keysOf(service, 9)
    const dribbling = await Promise.all(
      Array.from({ length: 64 }, (_, i) => begin(service, keys[i % 8] ?? "")),
    )
    await service.turnsInHand(64)
    // Without a queue, a turn that had to wait for a slot would get 503.
    for (const key of [keys[8] ?? "", keys[0] ?? ""]) {
      expect((await converse(service, key)).status).toBe(200)
    }
    // Each upload is still accepted when it completes.
    const [first, ...others] = dribbling
    await first?.send(Buffer.concat([chunk(recording), chunk(formEnd), Buffer.from("0\r\n\r\n")]))
    expect(await first?.answer()).toMatchObject({ status: 200, whole: true })
    for (const client of [first, ...others]) client?.leave("reset")
    await service.nothingLeft()
  })
})

describe("a minimum upload rate", () => {
  let service: TurnService
  beforeAll(async () => {
    // The window of 15 s takes 1.5 s. No faster: a pause of a busy machine must not make a client slow.
    service = await startTurns({ speed: 10, env: { UPLOAD_MIN_KB_PER_SECOND: "4" } })
  })
  afterAll(() => service.stop())

  test("ends an upload below it", async () => {
    const client = await begin(service, await service.register())
    let answered = false
    const answer = client.answer().then((each) => {
      answered = true
      return each
    })
    while (!answered) {
      await client.send(chunk("x"))
      await Bun.sleep(5)
    }
    const { status, body } = await answer
    expect({ status, body: JSON.parse(body.toString()) }).toMatchObject({
      status: 408,
      body: {
        error: "REQUEST_TIMEOUT",
        message: "The upload was slower than 4 KB per second for 15 seconds. Use a faster connection.",
      },
    })
    client.leave()
    await service.nothingLeft()
  })

  test("accepts a slow upload above it", async () => {
    const client = await begin(service, await service.register())
    const long = Buffer.concat([recording, new Uint8Array(600_000)])
    // Two windows long, at four times the minimum rate.
    for (let at = 0; at < long.length; at += 16_000) {
      await client.send(chunk(long.subarray(at, at + 16_000)))
      await Bun.sleep(75)
    }
    await client.send(Buffer.concat([chunk(formEnd), Buffer.from("0\r\n\r\n")]))
    expect(await client.answer()).toMatchObject({ status: 200, whole: true })
    client.leave()
    await service.nothingLeft()
  })
})

describe("the upload limit", () => {
  let service: TurnService
  let keys: ReadonlyArray<string> = []
  beforeAll(async () => {
    service = await startTurns({ env: { MAX_UPLOADS: "4" } })
    keys = await keysOf(service, 3)
  })
  afterAll(() => service.stop())

  test("is fair between users; above it, 503 unread", async () => {
    const [a = "", b = "", c = ""] = keys
    const own = [await begin(service, a), await begin(service, a)]
    await service.turnsInHand(2)
    const third = await begin(service, a, { "content-length": `${20 * MB}` }, Buffer.from(audioHead))
    expect(await codeOf(third)).toBe("503 OVERLOADED")
    const other = await begin(service, b)
    await service.turnsInHand(3)
    expect(await codeOf(await begin(service, b))).toBe("503 OVERLOADED")
    const last = await begin(service, c)
    await service.turnsInHand(4)
    const refused = await service.converse(c, new Blob([recording]))
    expect(refused.headers.get("retry-after")).toBe("2")
    await expectProblem(refused, { ...overloaded, retryAfter: 2 })

    // By a disconnect, a malformed form, and a complete upload.
    own[0]?.leave("reset")
    await other.send("0\r\n\r\n")
    expect(await codeOf(other)).toBe("400 VALIDATION_ERROR")
    await last.send(Buffer.concat([chunk(recording), chunk(formEnd), Buffer.from("0\r\n\r\n")]))
    expect((await last.answer()).status).toBe(200)
    for (const client of [...own, other, last]) client.leave()
    await service.nothingLeft()
    const again = [await begin(service, a), await begin(service, a), await begin(service, b)]
    await service.turnsInHand(3)
    for (const client of again) client.leave()
    await service.nothingLeft()
  })

  test("does not count completed uploads", async () => {
    const [a = ""] = keys
    service.upstream.script("stt", [fail.hang(), fail.hang(), fail.hang()])
    const held = await Promise.all(
      Array.from({ length: 3 }, async (_, i) => {
        await until(() => service.upstream.calls("stt").length >= i, "the turn before")
        return service.converseRaw(a, recording)
      }),
    )
    await service.upstream.waitFor(() => service.upstream.calls("stt").length === 3, "three turns")
    const client = await begin(service, a)
    await service.turnsInHand(4)
    for (const each of [...held, client]) each.leave()
    await service.nothingLeft()
    service.reset()
  })
})

describe("the disk quota", () => {
  let service: TurnService
  let keys: ReadonlyArray<string> = []
  beforeAll(async () => {
    service = await startTurns({ env: { UPLOAD_SPACE_MB: "4" } })
    keys = await keysOf(service, 2)
  })
  afterAll(() => service.stop())
  beforeEach(() => service.reset())
  afterEach(() => service.nothingLeft())

  test("is checked before an upload is read", async () => {
    const client = await begin(
      service,
      keys[0] ?? "",
      { "content-length": `${5 * MB}` },
      Buffer.from(audioHead),
    )
    expect(await codeOf(client)).toBe("503 OVERLOADED")
    client.leave()
  })

  test("is fair between users, and released with the turns", async () => {
    const [a = "", b = ""] = keys
    const piece = chunk(new Uint8Array(MB))
    for (let round = 0; round < 3; round++) {
      const greedy = await begin(service, a)
      for (let sent = 0; sent < 2; sent++) await greedy.send(piece)
      await until(async () => {
        const sizes = await Promise.all(folders().map((name) => Bun.file(`${tmpdir()}/${name}/upload`).size))
        return sizes.some((size) => size >= 2 * MB - 65_536)
      }, "2 MB on the disk")
      expect((await converse(service, b)).status).toBe(200)
      await greedy.send(piece)
      expect(await codeOf(greedy)).toBe("503 OVERLOADED")
      greedy.leave()
      await service.nothingLeft()
    }
  })
})

describe("a completed upload without a free slot", () => {
  let service: TurnService
  let keys: ReadonlyArray<string> = []
  beforeAll(async () => {
    service = await startTurns({ env: { MAX_TURNS: "1", TURN_QUEUE_SECONDS: "0.5", TURN_QUEUE_LENGTH: "1" } })
    keys = await keysOf(service, 3)
  })
  afterAll(() => service.stop())
  beforeEach(() => service.reset())
  afterEach(() => service.nothingLeft())

  /** An upload that started with a free slot, and a turn that then took the slot. */
  const late = async (headers: Record<string, string> = {}) => {
    const client = await begin(service, keys[0] ?? "", { "transfer-encoding": "chunked", ...headers })
    await service.turnsInHand(1)
    service.upstream.script("stt", [fail.hang()])
    const holder = await service.converseRaw(keys[1] ?? "", recording)
    await service.upstream.waitFor(() => service.upstream.calls("stt").length === 1, "a held turn")
    const finish = () =>
      client.send(Buffer.concat([chunk(recording), chunk(formEnd), Buffer.from("0\r\n\r\n")]))
    return { client, holder, finish }
  }

  test("waits, and starts before newer uploads", async () => {
    const { client, holder, finish } = await late()
    const asking = converse(service, keys[2] ?? "")
    await finish()
    await service.turnsWaiting(2)
    holder.leave()
    expect(await client.answer()).toMatchObject({ status: 200, whole: true })
    expect((await asking).status).toBe(200)
    client.leave()
  })

  test("is 503 after the wait", async () => {
    const { client, holder, finish } = await late()
    await finish()
    const answer = await client.answer()
    expect(answer.headers.get("retry-after")).toBe("1")
    expect({ status: answer.status, body: JSON.parse(answer.body.toString()) }).toMatchObject({
      status: 503,
      body: { error: "OVERLOADED", retryAfter: 1 },
    })
    for (const each of [client, holder]) each.leave()
  })

  test.each(["close", "reset"] as const)("releases everything when its client leaves by %s", async (how) => {
    const { client, holder, finish } = await late()
    await finish()
    await service.turnsWaiting(1)
    client.leave(how)
    await service.turnsInHand(1)
    holder.leave()
    await service.nothingLeft()
    expect(service.upstream.calls("stt")).toHaveLength(1)
    expect((await converse(service, keys[2] ?? "")).status).toBe(200)
  })

  test("with an Idempotency-Key: continues without its client", async () => {
    const idempotency = { "idempotency-key": crypto.randomUUID() }
    const { client, holder, finish } = await late(idempotency)
    await finish()
    await service.turnsWaiting(1)
    client.leave()
    await Bun.sleep(50)
    holder.leave()
    await until(() => service.upstream.calls("tts")[0]?.outcome === "answered", "the turn's end")
    await service.nothingLeft()
    const again = await service.converse(keys[0] ?? "", new Blob([recording]), {
      accept: "audio/pcm",
      headers: idempotency,
    })
    expect(again.headers.get("idempotent-replayed")).toBe("true")
    await again.bytes()
    expect(service.upstream.calls("stt")).toHaveLength(2)
  })
})

describe("an upload with an Idempotency-Key", () => {
  let service: TurnService
  beforeAll(async () => {
    service = await startTurns()
  })
  afterAll(() => service.stop())

  test.each(["close", "reset"] as const)(
    "aborted by %s: nothing is left, and the key is free",
    async (how) => {
      const key = await service.register()
      const headers = { "idempotency-key": crypto.randomUUID() }
      const client = await begin(service, key, { "transfer-encoding": "chunked", ...headers })
      await service.turnsInHand(1)
      client.leave(how)
      await service.nothingLeft()
      const answer = await service.converse(key, new Blob([multipart([]), recording]), { headers })
      expect(answer.headers.get("idempotent-replayed")).toBeNull()
      await answer.bytes()
      await service.nothingLeft()
    },
  )
})
