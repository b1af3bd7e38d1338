import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { Schema } from "effect"
import { wav16k } from "../support/audio.ts"
import { wavOfSize } from "../support/audio-hostile.ts"
import { BOUNDARY, formEnd, multipart, multipartType, type Part, partHead } from "../support/multipart.ts"
import { connectRaw, type RawClient } from "../support/raw-http.ts"
import { startTurns, type TurnService } from "../support/turns.ts"

const MB = 1024 ** 2
const Created = Schema.Struct({ sessionId: Schema.UUID })

let service: TurnService
let key = ""
let recording: Uint8Array = new Uint8Array()
let good: Part
beforeAll(async () => {
  service = await startTurns({ env: { SILENCE_DBFS: "0" } })
  key = await service.register()
  recording = await wav16k()
  good = { name: "audio", filename: "a.wav", type: "audio/wav", content: recording }
})
afterAll(() => service.stop())
beforeEach(() => service.reset())
afterEach(() => service.nothingLeft())

const post = (body: Uint8Array, headers: Record<string, string> = {}) =>
  fetch(`${service.url}/voice/conversation`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": multipartType, ...headers },
    body,
  })

const audioHead = partHead({ name: "audio", filename: "a.wav", type: "audio/wav" })

/** A client that has sent its headers and waits. */
const begin = async (headers: Record<string, string>): Promise<RawClient> => {
  const client = await connectRaw(service.url)
  const lines = Object.entries({ host: "localhost", "content-type": multipartType, ...headers })
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")
  await client.send(`POST /api/v1/voice/conversation HTTP/1.1\r\n${head}\r\n`)
  return client
}

const authorized = () => ({ authorization: `Bearer ${key}` })

const chunk = (bytes: Uint8Array | string) =>
  Buffer.concat([
    Buffer.from(`${Buffer.from(bytes).length.toString(16)}\r\n`),
    Buffer.from(bytes),
    Buffer.from("\r\n"),
  ])

const problem = (body: Buffer): unknown => JSON.parse(body.toString())

describe("forms", () => {
  const note = (name: string, content = "x"): Part => ({ name, content })
  const forms: ReadonlyArray<readonly [string, () => ReadonlyArray<Part>]> = [
    ["the audio alone", () => [good]],
    ["unknown fields", () => [note("model"), good, note("language")]],
    ["a name in another script", () => [{ ...good, filename: "Aufnahme – グリーンティー 🍵.wav" }]],
    ["a name with quotes", () => [{ ...good, filename: '\\"; filename=\\"b.exe' }]],
    ["a name with a path", () => [{ ...good, filename: "../../../etc/cron.d/a.wav" }]],
    ["a Windows path", () => [{ ...good, filename: "C:\\Users\\me\\a.wav" }]],
    ["a name of 4 KB", () => [{ ...good, filename: "a".repeat(4096) }]],
    ["a wrong type", () => [{ ...good, filename: "a.txt", type: "text/plain" }]],
    ["no type", () => [{ name: "audio", filename: "a", content: recording }]],
    ["no file name", () => [{ name: "audio", type: "audio/wav", content: recording }]],
    [
      "no file name, as bytes",
      () => [{ name: "audio", type: "application/octet-stream", content: recording }],
    ],
    ["no file name, as text", () => [{ name: "audio", type: "text/plain", content: recording }]],
    [
      "no file name, in a charset",
      () => [{ name: "audio", type: "text/plain; charset=utf-16", content: recording }],
    ],
    ["no file name and type", () => [{ name: "audio", content: recording }]],
    ["an empty file name", () => [{ ...good, filename: "" }]],
    ["another file before it", () => [{ ...good, name: "cover", content: "no audio at all" }, good]],
    ["an empty sessionId", () => [note("sessionId", ""), good]],
    ["a sessionId of 50 KB", () => [note("sessionId", "x".repeat(50_000)), good]],
  ]
  test.each(forms)("%s: a turn", async (_, parts) => {
    const answer = await post(multipart(parts()))
    expect(answer.status).toBe(200)
    expect((await answer.bytes()).length).toBeGreaterThan(0)
    expect(service.upstream.calls("stt")[0]?.request.file.bytes.length).toBe(recording.length)
  })

  test.each([
    ["before", (id: string) => [{ name: "sessionId", content: id }, good]],
    ["after", (id: string) => [good, { name: "sessionId", content: id }]],
  ])("the sessionId may come %s the audio", async (_, parts) => {
    const created = await service.call("POST", "/sessions", { key })
    const { sessionId } = Schema.decodeUnknownSync(Created)(await created.json())
    const answer = await post(multipart(parts(sessionId)))
    await answer.bytes()
    expect(answer.headers.get("x-session-id")).toBe(sessionId)
  })

  const base64 = () => Buffer.from(recording).toString("base64")
  const required = "Audio file is required"
  const wrong: ReadonlyArray<readonly [string, () => ReadonlyArray<Part>, string]> = [
    ["no part", () => [], required],
    ["another name", () => [{ ...good, name: "file" }], `${required}. Name its field "audio".`],
    ["another name without a file name", () => [{ name: "recording", content: recording }], '"audio"'],
    ["an empty file input", () => [{ ...good, filename: "", content: "" }], required],
    ["audio as an empty field", () => [{ name: "audio", content: "" }], required],
    ["base64 as a field", () => [{ name: "audio", content: base64() }], "base64"],
    ["base64 as a file", () => [{ ...good, content: base64() }], "base64"],
    ["a data URL", () => [{ name: "audio", content: `data:audio/wav;base64,${base64()}` }], "base64"],
    ["hundreds of fields", () => [...Array.from({ length: 300 }, (_, i) => note(`f${i}`)), good], "parts"],
    [
      "hundreds of files",
      () => Array.from({ length: 300 }, (_, i) => ({ ...good, name: `f${i}`, content: "" })),
      "parts",
    ],
  ]
  test.each(wrong)("%s: rejected by name", async (_, parts, said) => {
    const answer = await post(multipart(parts()))
    expect(answer.status).toBe(400)
    expect(await answer.json()).toMatchObject({
      error: "VALIDATION_ERROR",
      message: expect.stringContaining(said),
    })
    expect(service.upstream.calls("stt")).toEqual([])
  })

  test.each([
    ["files", (part: Part) => part],
    ["fields", ({ name, content }: Part) => ({ name, content })],
  ])("the first of two audio %s counts", async (_, as) => {
    const answer = await post(multipart([as(good), as({ ...good, content: "no audio at all" })]))
    await answer.bytes()
    expect(service.upstream.calls("stt")[0]?.request.file.bytes.length).toBe(recording.length)
  })

  test("a field that is no recording is invalid audio", async () => {
    const answer = await post(multipart([{ name: "audio", content: "What is the capital of France?" }]))
    expect([answer.status, await answer.json()]).toMatchObject([400, { error: "INVALID_AUDIO" }])
  })
})

describe("bodies", () => {
  const cut = () => multipart([good]).subarray(0, -formEnd.length)
  const bodies: ReadonlyArray<readonly [string, () => Uint8Array]> = [
    ["ends without its last boundary", cut],
    ["ends within the last boundary", () => multipart([good]).subarray(0, -6)],
    ["ends within a part's headers", () => Buffer.from(audioHead.slice(0, -20))],
    ["is empty", () => new Uint8Array()],
    ["is noise", () => Buffer.from("not a form, whatever its type says")],
    ["has part headers without end", () => Buffer.from(`--${BOUNDARY}\r\nx: ${"y".repeat(100_000)}`)],
  ]
  test.each(bodies)("one that %s is malformed", async (_, make) => {
    const answer = await post(make())
    expect(answer.status).toBe(400)
    expect(await answer.json()).toMatchObject({
      error: "VALIDATION_ERROR",
      message: expect.stringContaining("multipart"),
    })
    expect(service.upstream.calls("stt")).toEqual([])
  })

  test.each([
    "multipart/form-data",
    "multipart/form-data; boundary=",
    'multipart/form-data; boundary=""',
    "multipart/form-data; boundary=a=b",
    "multipart/form-data; x; boundary=y",
  ])("one of type %s has no boundary: malformed", async (type) => {
    const answer = await post(multipart([good]), { "content-type": type })
    expect(answer.status).toBe(400)
    expect(await answer.json()).toMatchObject({
      error: "VALIDATION_ERROR",
      message: expect.stringMatching(/boundary.*Do not set the Content-Type header by hand/),
    })
  })

  test("one with another boundary says so", async () => {
    const answer = await post(multipart([good]), { "content-type": "multipart/form-data; boundary=other" })
    expect([answer.status, await answer.json()]).toMatchObject([
      400,
      {
        error: "VALIDATION_ERROR",
        message: expect.stringMatching(/no complete part.*Do not set the Content-Type header/),
      },
    ])
  })

  test("one whose type ends in a semicolon is accepted", async () => {
    const answer = await post(multipart([good]), { "content-type": `${multipartType};` })
    expect(answer.status).toBe(200)
    await answer.bytes()
  })

  test.each(["gzip", "br", "deflate", "zstd", "GZIP", "identity, gzip", "aws-chunked"])(
    "one with Content-Encoding %s is 415",
    async (encoding) => {
      const answer = await post(multipart([good]), { "content-encoding": encoding })
      expect(answer.headers.get("accept-encoding")).toBe("identity")
      expect([answer.status, await answer.json()]).toMatchObject([
        415,
        { error: "UNSUPPORTED_MEDIA_TYPE", message: expect.stringContaining("Content-Encoding") },
      ])
    },
  )

  test.each(["identity", "Identity", ""])("one with Content-Encoding %p is accepted", async (encoding) => {
    const answer = await post(multipart([good]), { "content-encoding": encoding })
    expect(answer.status).toBe(200)
    await answer.bytes()
  })

  test.each([
    "application/json",
    "audio/wav",
    "application/x-www-form-urlencoded",
    "multipart/mixed; boundary=x",
  ])("one of type %s is 415", async (type) => {
    const answer = await post(recording, { "content-type": type })
    expect(answer.status).toBe(415)
    expect(await answer.json()).toMatchObject({
      error: "UNSUPPORTED_MEDIA_TYPE",
      message: expect.stringContaining("multipart/form-data with the recording in the field audio"),
    })
  })

  test("one that arrives byte by byte is accepted", async () => {
    const client = await begin({ ...authorized(), "transfer-encoding": "chunked", accept: "audio/mpeg" })
    const body = multipart([{ name: "sessionId", content: "x" }, good])
    const edges = [...body.subarray(0, 300)].map((byte) => chunk(Uint8Array.of(byte)))
    for (const part of edges) await client.send(part)
    await client.send(Buffer.concat([chunk(body.subarray(300)), Buffer.from("0\r\n\r\n")]))
    const answer = await client.answer()
    expect({ status: answer.status, whole: answer.whole }).toEqual({ status: 200, whole: true })
    client.leave()
    expect(service.upstream.calls("stt")[0]?.request.file.bytes.length).toBe(recording.length)
  })
})

describe("size", () => {
  const tooLarge = { error: "AUDIO_TOO_LARGE", message: expect.stringContaining("25 MB") }

  test("26 MB are rejected by Content-Length, unread", async () => {
    const client = await begin({ ...authorized(), "content-length": `${26 * MB}` })
    await client.send(audioHead)
    const answer = await client.answer()
    expect({ status: answer.status, body: problem(answer.body) }).toMatchObject({
      status: 400,
      body: tooLarge,
    })
    client.leave()
  })

  test.each([
    ["26 MB without a Content-Length are refused as they arrive", audioHead],
    ["the same without a file name and type", partHead({ name: "audio" })],
    ["a field of 26 MB is not read", partHead({ name: "sessionId" })],
  ])("%s", async (_, part) => {
    const client = await begin({ ...authorized(), "transfer-encoding": "chunked" })
    await client.send(chunk(part))
    const piece = chunk(new Uint8Array(MB))
    for (let sent = 0; sent < 26; sent++) await client.send(piece)
    const answer = await client.answer()
    expect({ status: answer.status, body: problem(answer.body) }).toMatchObject({
      status: 400,
      body: tooLarge,
    })
    client.leave()
  })

  test("25 MB are accepted, a byte more is not", async () => {
    const most = await post(multipart([{ ...good, content: wavOfSize(25 * MB) }]))
    expect(most.status).toBe(200)
    await most.bytes()
    const more = await post(multipart([{ ...good, content: wavOfSize(25 * MB + 1) }]))
    expect(await more.json()).toMatchObject(tooLarge)
  })
})

describe("order", () => {
  test.each([
    ["no key", {}, "UNAUTHORIZED"],
    ["a wrong key", { authorization: "Bearer sk_wrong" }, "INVALID_API_KEY"],
  ] as const)("%s is reported before the body is read", async (_, headers, code) => {
    const client = await begin({ ...headers, "content-length": `${20 * MB}` })
    const answer = await client.answer()
    expect({ status: answer.status, body: problem(answer.body) }).toMatchObject({
      status: 401,
      body: { error: code },
    })
    client.leave()
  })

  test.each([
    ["the key", {}, { "content-type": "text/plain", accept: "image/png" }, 401],
    ["what is accepted", authorized, { "content-type": "text/plain", accept: "image/png" }, 406],
    ["the body's type", authorized, { "content-type": "text/plain", "content-length": `${26 * MB}` }, 415],
    ["its size", authorized, { "content-length": `${26 * MB}` }, 400],
  ] as const)("%s is checked before the rest", async (_, key, headers, status) => {
    const client = await begin({
      "content-length": "100",
      ...(typeof key === "function" ? key() : key),
      ...headers,
    })
    expect((await client.answer()).status).toBe(status)
    client.leave()
  })
})

describe("the client disconnects during the upload", () => {
  const framings: ReadonlyArray<
    readonly [string, Record<string, string>, (bytes: Uint8Array) => Uint8Array]
  > = [
    ["with a Content-Length", { "content-length": `${MB}` }, (bytes) => bytes],
    ["in chunks", { "transfer-encoding": "chunked" }, chunk],
  ]
  for (const [name, headers, frame] of framings) {
    test.each(["close", "reset"] as const)(`${name}, by a %s: nothing is left`, async (how) => {
      const client = await begin({ ...authorized(), ...headers })
      await client.send(frame(Buffer.concat([Buffer.from(audioHead), recording])))
      await service.turnsInHand(1)
      client.leave(how)
      await service.nothingLeft()
      expect(service.upstream.calls("stt")).toEqual([])
    })
  }
})
