/**
 * Requests that no browser sends. Bun answers some of them itself, before any code of the
 * service: docs/guides/operating.md lists them. These tests fail if a new version of Bun behaves differently.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test"
import { connect } from "node:net"
import { connectRaw, head, type RawAnswer } from "../support/raw-http.ts"
import { type Service, startService } from "../support/service.ts"
import { expectProblem } from "./answers.ts"

let service: Service
let key = ""
beforeAll(async () => {
  service = await startService({ env: { NODE_ENV: "production" } })
  key = await service.register()
})
afterAll(() => service.stop())
/** After each connection, the next one is served. */
afterEach(async () => expect((await service.call("GET", "/health")).status).toBe(200))

const get = (headers: string, line = "GET /api/v1/health HTTP/1.1") => `${line}\r\n${headers}\r\n`
const withHeader = (line: string) => get(`Host: x\r\n${line}\r\n`)
/** A request with a body; it creates a session if it is understood. */
const post = (framing: string, body: string) =>
  `POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${key}\r\nContent-Type: application/json\r\n${framing}\r\n\r\n${body}`
const chunked = (body: string) => post("Transfer-Encoding: chunked", body)
const emptyObject = "2\r\n{}\r\n0\r\n\r\n"

const answerTo = async (bytes: string): Promise<RawAnswer> => {
  const client = await connectRaw(service.url)
  await client.send(Buffer.from(bytes, "latin1"))
  const answer = await client.answer()
  client.leave()
  return answer
}

type Case = readonly [name: string, bytes: () => string]

describe.each<readonly [status: number, cases: ReadonlyArray<Case>]>([
  [
    400,
    [
      ["garbage", () => "GARBAGE\r\n\r\n"],
      ["NULs", () => "\0\0\0\0\r\n\r\n"],
      ["a TLS hello", () => "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n"],
      ["the HTTP/2 preface", () => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
      ["a leading empty line", () => `\r\n${withHeader("X: y")}`],
      ["no Host", () => get("")],
      ["a target without a slash", () => get("Host: x\r\n", "GET api/v1/health HTTP/1.1")],
      ["the target * of OPTIONS", () => get("Host: x\r\n", "OPTIONS * HTTP/1.1")],
      ["a space before a header's colon", () => withHeader("X : y")],
      ["a folded header", () => withHeader("X: y\r\n z")],
      ["a header without a colon", () => withHeader("xyz")],
      ["a header without a name", () => withHeader(": y")],
      ["a NUL in a header", () => withHeader("X: y\0z")],
      ["a CR in a header", () => withHeader("X: y\rz")],
      ["an escape in a header", () => withHeader("X: \x1b[31my")],
      ["a control character in a name", () => withHeader("X\x01: y")],
      ["two lengths", () => post("Content-Length: 2\r\nContent-Length: 3", "{} ")],
      ["a list of lengths", () => post("Content-Length: 2, 2", "{}")],
      ["a negative length", () => post("Content-Length: -2", "{}")],
      ["a length with a sign", () => post("Content-Length: +2", "{}")],
      ["a length in hexadecimal", () => post("Content-Length: 0x2", "{}")],
      ["a length of two numbers", () => post("Content-Length: 2 2", "{}")],
      ["an empty length", () => post("Content-Length: ", "{}")],
      ["a length over 2^64", () => post(`Content-Length: ${"9".repeat(30)}`, "{}")],
      ["a length and chunks", () => post("Content-Length: 2\r\nTransfer-Encoding: chunked", emptyObject)],
      ["chunks and a length", () => post("Transfer-Encoding: chunked\r\nContent-Length: 2", emptyObject)],
      ["chunked, twice", () => post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", emptyObject)],
      ["chunked, then identity", () => post("Transfer-Encoding: chunked, identity", emptyObject)],
      ["gzip as a transfer coding", () => post("Transfer-Encoding: gzip, chunked", emptyObject)],
      ["an unknown transfer coding", () => post("Transfer-Encoding: xchunked", emptyObject)],
      ["chunks in HTTP/1.0", () => chunked(emptyObject).replace("HTTP/1.1", "HTTP/1.0")],
      ["a negative chunk", () => chunked("-2\r\n{}\r\n0\r\n\r\n")],
      ["a chunk of 0x2", () => chunked("0x2\r\n{}\r\n0\r\n\r\n")],
      ["a chunk over 2^64", () => chunked(`${"f".repeat(18)}\r\n{}\r\n0\r\n\r\n`)],
      ["a chunk with an invalid size", () => chunked("zz\r\n{}\r\n0\r\n\r\n")],
      ["a chunk without its size", () => chunked("\r\n{}\r\n0\r\n\r\n")],
      ["a chunk longer than its size", () => chunked("2\r\n{}xx\r\n0\r\n\r\n")],
      ["chunks that end in bare LFs", () => chunked("2\n{}\n0\n\n")],
      ["trailers", () => chunked("2\r\n{}\r\n0\r\nX: y\r\n\r\n")],
    ],
  ],
  [413, [["100 KB of a chunk's extension", () => chunked(`2;${"a".repeat(100_000)}\r\n{}\r\n0\r\n\r\n`)]]],
  [
    431,
    [
      ["a target of 20 KB", () => get("Host: x\r\n", `GET /${"a".repeat(20_000)} HTTP/1.1`)],
      ["a header of 20 KB", () => withHeader(`X: ${"a".repeat(20_000)}`)],
      ["a header without end", () => `GET / HTTP/1.1\r\nHost: x\r\nX: ${"a".repeat(300_000)}`],
      [
        "a thousand headers",
        () => withHeader(Array.from({ length: 1000 }, (_, i) => `x${i}: y`).join("\r\n")),
      ],
    ],
  ],
  [
    505,
    [
      ["no version", () => get("Host: x\r\n", "GET /api/v1/health")],
      ["HTTP/2 without its preface", () => get("Host: x\r\n", "GET /api/v1/health HTTP/2.0")],
      ["bare LFs", () => "GET /api/v1/health HTTP/1.1\nHost: x\n\n"],
      ["a space in the target", () => get("Host: x\r\n", "GET /api/v1/he alth HTTP/1.1")],
      ["an escape in the target", () => get("Host: x\r\n", "GET /\x1b[31m HTTP/1.1")],
      ["a NUL in the target", () => get("Host: x\r\n", "GET /\0 HTTP/1.1")],
    ],
  ],
])("Bun answers %d and closes for", (status, cases) => {
  test.each(cases)("%s", async (_, bytes) => {
    const answer = await answerTo(bytes())
    expect({ status: answer.status, body: answer.body.toString() }).toEqual({ status, body: "" })
    expect(answer.headers.get("connection")).toBe("close")
    expect(answer.headers.get("x-request-id")).toBeNull()
  })
})

describe("Bun closes without an answer for", () => {
  test.each<Case>([
    ["an unknown method", () => get("Host: x\r\n", "FOO /api/v1/health HTTP/1.1")],
    ["a method in lower case", () => get("Host: x\r\n", "get /api/v1/health HTTP/1.1")],
    ["a method of 5000 letters", () => get("Host: x\r\n", `${"A".repeat(5000)} /api/v1/health HTTP/1.1`)],
    ["a pipelined request", () => `${post("Content-Length: 2", "{}")}${withHeader("X: y")}`],
  ])("%s", async (_, bytes) => {
    expect(await answerTo(bytes())).toMatchObject({ status: 0, whole: false })
  })

  test("a half-closed connection", async () => {
    const { hostname, port } = new URL(service.url)
    const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
    let received = 0
    socket.on("data", (chunk: Buffer) => {
      received += chunk.length
    })
    socket.end(post("Content-Length: 2", "{}"))
    await new Promise((resolve) => socket.once("close", resolve))
    expect(received).toBe(0)
  })
})

describe("is answered normally:", () => {
  test.each<readonly [name: string, bytes: () => string, status: number]>([
    ["HTTP/1.0 without a Host", () => "GET /api/v1/health HTTP/1.0\r\n\r\n", 200],
    ["an empty Host", () => get("Host:\r\n"), 200],
    ["an IP address as Host", () => get("Host: [::1]:3000\r\n"), 200],
    ["a header of Latin-1", () => withHeader("X: \xe9\xff"), 200],
    ["150 headers", () => withHeader(Array.from({ length: 150 }, (_, i) => `x${i}: y`).join("\r\n")), 200],
    ["a query of 8 KB", () => get("Host: x\r\n", `GET /api/v1/health?${"a".repeat(8000)} HTTP/1.1`), 200],
    ["an absolute target", () => get("Host: x\r\n", "GET http://y/api/v1/health HTTP/1.1"), 200],
    [
      "an Upgrade to WebSocket",
      () =>
        withHeader(
          "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ),
      200,
    ],
    [
      "an Upgrade to HTTP/2",
      () => withHeader("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk"),
      200,
    ],
    ["an unknown Expect", () => post("Content-Length: 2\r\nExpect: 200-maybe", "{}"), 201],
    ["the same length twice", () => post("Content-Length: 2\r\nContent-Length: 2", "{}"), 201],
    ["chunked in capitals", () => post("Transfer-Encoding: CHUNKED", emptyObject), 201],
    ["a chunk with an extension", () => chunked("2;a=b\r\n{}\r\n0\r\n\r\n"), 201],
  ])("%s", async (_, bytes, status) => {
    const answer = await answerTo(bytes())
    expect({ status: answer.status, whole: answer.whole }).toEqual({ status, whole: true })
    expect(answer.headers.get("x-request-id")).toBeString()
  })

  test.each(["CONNECT x:443", "TRACE /api/v1/nope", "GET /api/v1/health#x", "GET /caf\xe9", "GET /\x7f"])(
    "%j: 404",
    async (line) => {
      const { status, headers, body } = await answerTo(get("Host: x\r\n", `${line} HTTP/1.1`))
      const answer = { status, headers, text: async () => body.toString() }
      await expectProblem(answer, { status: 404, code: "NOT_FOUND" })
    },
  )
})

test.each([
  "a/b",
  "a/b?c",
  "a b",
  "a#b",
  "u:p@h",
  "a\tb",
  "\xe4",
  "a\\b",
  "a,b",
  "[::1",
  "x:y",
  "x:123456",
  "x:99999",
  "256.256.256.256",
  "1.2.3.4.5",
  "[::::]",
  "a%zz",
  "x\r\nHost: y",
])("the Host %j: 400", async (host) => {
  for (const path of ["/api/v1/health", "/aaaaaa/api/v1/sessions", "/api/v1/sessions", "/"]) {
    const own = `Host: ${host}\r\nAuthorization: Bearer ${key}\r\n`
    const { status, headers, body } = await answerTo(get(own, `GET ${path} HTTP/1.1`))
    await expectProblem(
      { status, headers, text: async () => body.toString() },
      { status: 400, code: "VALIDATION_ERROR", message: "Invalid Host header." },
    )
  }
})

test("Expect: 100-continue", async () => {
  const client = await connectRaw(service.url)
  const continues = { expect: "100-continue", "content-type": "application/json", "content-length": "2" }
  await client.send(head("POST /api/v1/sessions", { authorization: `Bearer ${key}`, ...continues }))
  await client.send("{}")
  expect((await client.answer()).status).toBe(201)
  await client.send(head("POST /api/v1/sessions", continues))
  expect((await client.answer()).status).toBe(401)
  client.leave()
})

test("pipelined requests are answered in order", async () => {
  const client = await connectRaw(service.url)
  const request = (id: string) => head("GET /api/v1/health", { "x-request-id": id })
  await client.send(["a", "b", "c"].map(request).join(""))
  for (const id of ["a", "b", "c"]) expect((await client.answer()).headers.get("x-request-id")).toBe(id)
  client.leave()
})

describe("HEAD", () => {
  const paths = ["/", "/client.js", "/docs", "/openapi.json"]
  const ofUsers = ["/health", "/ready", "/sessions", "/users/me", "/users/me/keys", "/users/me/export"]
  test("HEAD of every GET has its headers and no body", async () => {
    const created = await service.call("POST", "/sessions", { key })
    const id = /[0-9a-f-]{36}/.exec(await created.text())?.[0]
    const { origin } = new URL(service.url)
    const all = [
      ...paths.map((path) => `${origin}${path}`),
      ...[...ofUsers, `/sessions/${id}`, `/sessions/${id}/messages`, `/sessions/${crypto.randomUUID()}`].map(
        (path) => `${service.url}${path}`,
      ),
    ]
    for (const url of all) {
      const [got, headed] = await Promise.all(
        ["GET", "HEAD"].map(async (method) => {
          const answer = await fetch(url, { method, headers: { authorization: `Bearer ${key}` } })
          const body = await answer.text()
          const own = /^(date|x-request-id|ratelimit|content-length|transfer-encoding|content-encoding)$/
          const headers = [...answer.headers].filter(([name]) => !own.test(name))
          return { status: answer.status, headers: Object.fromEntries(headers), body }
        }),
      )
      expect({ url, ...headed }).toEqual({ url, ...got, body: "" })
      expect(got?.body.length).toBeGreaterThan(0)
    }
  })
})

test("OPTIONS of any path has no body", async () => {
  for (const path of ["/health", "/sessions", "/nope", "/sessions/%00"]) {
    for (const headers of [{}, { origin: "https://x.example", "access-control-request-method": "FOO" }]) {
      const answer = await service.call("OPTIONS", path, { headers })
      expect({ status: answer.status, body: await answer.text() }).toEqual({ status: 204, body: "" })
      expect(answer.headers.get("x-request-id")).toBeString()
      expect(answer.headers.get("x-content-type-options")).toBe("nosniff")
    }
  }
})
