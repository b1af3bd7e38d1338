import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test"
import { brotliCompressSync } from "node:zlib"
import { connectRaw, head, type RawAnswer, type RawClient } from "../support/raw-http.ts"
import { type Service, startService } from "../support/service.ts"
import { expectProblem } from "./answers.ts"

let service: Service
let key: string
beforeAll(async () => {
  service = await startService()
  key = await service.register()
})
afterAll(() => service.stop())

let raw: RawClient | undefined
const open = async () => {
  raw = await connectRaw(service.url)
  return raw
}
afterEach(() => raw?.leave())

const asResponse = ({ status, headers, body }: RawAnswer) => ({
  status,
  headers,
  text: async () => body.toString(),
})
/** A request line and headers, sent unchanged. */
const rawly = async (line: string, headers?: Record<string, string>) => {
  const connection = await open()
  connection.send(head(line, headers))
  return asResponse(await connection.answer())
}
const invalid = (message: string | RegExp) => ({ status: 400, code: "VALIDATION_ERROR", message })
const pathNotFound = { status: 404, code: "NOT_FOUND", message: "There is nothing at this path." }

describe("an unknown path", () => {
  test.each([
    "/api/v1/nope",
    "/api/v1",
    "/api/v1/",
    "/api",
    "/health",
    "/api/v1/Health",
    "/API/v1/health",
    "/api/v2/health",
    "/api/v1/health/x",
    "//api/v1/health",
    "/api//v1/health",
    "/api/v1//health",
    "/api/v1/health//",
    "/api/v1/%68ealth",
    "/api/v1%2Fhealth",
    "/api/v1/sessions//",
    "/api/v1/sessions//messages",
    "/api/v1/sessions%2Fabc",
    "/api/v1/sessions/abc/messages/abc",
    "/api/v1/sessions/%2e%2e%2fhealth/x",
    "/api/v1/voice",
    "/api/v1/users",
    "/%",
    "/%00",
    "/..%2f..%2fetc/passwd",
    "/__proto__",
    `/${"x".repeat(8000)}`,
  ])("is 404: %s", async (path) => {
    await expectProblem(await rawly(`GET ${path}`), pathNotFound)
    await expectProblem(await rawly(`POST ${path}`, { "content-length": "0" }), pathNotFound)
  })

  test("is 404 for every client and method", async () => {
    for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"]) {
      await expectProblem(await rawly(`${method} /api/v1/nope`, { "content-length": "0" }), pathNotFound)
    }
    const answer = await service.call("HEAD", "/nope")
    expect({ status: answer.status, body: await answer.text() }).toEqual({ status: 404, body: "" })
    expect(answer.headers.get("x-request-id")).toBeString()
  })
})

describe("an unsupported method", () => {
  const id = crypto.randomUUID()
  test.each([
    ["/health", "GET, HEAD, OPTIONS", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"]],
    ["/ready", "GET, HEAD, OPTIONS", ["POST", "DELETE"]],
    ["/users/register", "OPTIONS, POST", ["GET", "PUT", "DELETE"]],
    ["/auth/register", "OPTIONS, POST", ["GET"]],
    ["/auth/login", "OPTIONS, POST", ["GET", "TRACE"]],
    ["/sessions", "GET, HEAD, OPTIONS, POST", ["PUT", "PATCH", "DELETE", "TRACE"]],
    [`/sessions/${id}`, "DELETE, GET, HEAD, OPTIONS, PATCH", ["POST", "PUT"]],
    ["/sessions/nope", "DELETE, GET, HEAD, OPTIONS, PATCH", ["POST"]],
    [`/sessions/${id}/messages`, "GET, HEAD, OPTIONS, POST", ["PATCH", "DELETE"]],
    ["/voice/conversation", "OPTIONS, POST", ["GET", "PUT"]],
  ])("of %s is 405 with Allow", async (path, allow, methods) => {
    for (const method of methods) {
      for (const host of ["localhost", "a"]) {
        const line = `${method} /api/v1${path}`
        const answer = await rawly(line, { host, "content-length": "0", authorization: `Bearer ${key}` })
        expect(answer.headers.get("allow")).toBe(allow)
        await expectProblem(answer, {
          status: 405,
          code: "METHOD_NOT_ALLOWED",
          message: `This path supports ${allow}.`,
        })
      }
    }
  })

  test("is 405 for HEAD without a GET", async () => {
    const answer = await service.call("HEAD", "/auth/login")
    expect({ status: answer.status, body: await answer.text() }).toEqual({ status: 405, body: "" })
  })
})

test.each(["/health", "/ready", "/sessions", "/sessions?limit=1"])(
  "HEAD of %s is its GET without the body",
  async (path) => {
    const answer = await service.call("HEAD", path, { key })
    expect({ status: answer.status, body: await answer.text() }).toEqual({ status: 200, body: "" })
    expect(answer.headers.get("content-type")).toStartWith("application/json")
  },
)

test("a trailing slash and dot segments are ignored", async () => {
  for (const path of ["/health/", "/health?x=1", "/./health", "/sessions/../health"]) {
    expect((await rawly(`GET /api/v1${path}`)).status).toBe(200)
  }
  expect((await service.call("GET", "/sessions/", { key })).status).toBe(200)
})

describe("a request id", () => {
  test("from the client is kept if it is safe", async () => {
    const asked = crypto.randomUUID()
    const answer = await service.call("GET", "/health", { headers: { "x-request-id": asked } })
    expect(answer.headers.get("x-request-id")).toBe(asked)
  })

  test.each(["", "a b", "x".repeat(65), '"', "a,b"])("is generated instead of %j", async (asked) => {
    const answer = await service.call("GET", "/health", { headers: { "x-request-id": asked } })
    expect(answer.headers.get("x-request-id")).toMatch(/^[0-9a-f]{8}-[0-9a-f-]{27}$/)
  })

  test("is on every response", async () => {
    const answers = await Promise.all([
      service.call("GET", "/health"),
      service.call("GET", "/ready"),
      service.call("OPTIONS", "/sessions"),
      service.call("POST", "/sessions", { key }),
      service.call("GET", "/sessions", { key }),
      service.call("DELETE", "/sessions/nope", { key }),
      service.call("PUT", "/nope"),
    ])
    const ids = answers.map(({ headers }) => headers.get("x-request-id"))
    expect(new Set(ids).size).toBe(answers.length)
    expect(ids).not.toContain(null)
  })
})

/** All of these accept JSON and forms and reject the same bodies. */
const takers: ReadonlyArray<[string, string]> = [
  ["POST", "/users/register"],
  ["POST", "/auth/register"],
  ["POST", "/auth/login"],
  ["POST", "/sessions"],
  ["PATCH", `/sessions/${crypto.randomUUID()}`],
  ["POST", `/webhooks/${crypto.randomUUID()}/replay`],
]

describe.each(takers)("the body of %s %s", (method, path) => {
  const send = (body: string | Uint8Array<ArrayBuffer>, type: string) =>
    fetch(`${service.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${key}`, "content-type": type },
      body,
    })

  test.each([
    ["text/plain", "{}"],
    ["application/xml", "<a/>"],
    ["multipart/form-data; boundary=x", "--x--"],
    ["application/jsonp", "{}"],
    ["application/json-patch+json", "[]"],
    ["json", "{}"],
  ])("is 415 as %s", async (type, body) => {
    await expectProblem(await send(body, type), {
      status: 415,
      code: "UNSUPPORTED_MEDIA_TYPE",
      message: /application\/json/,
    })
  })

  test.each(["utf-16", "UTF-16LE", '"utf-16be"', "iso-8859-1", "nope"])(
    "is 415 in the charset %s",
    async (charset) => {
      await expectProblem(await send("{}", `application/json; charset=${charset}`), {
        status: 415,
        code: "UNSUPPORTED_MEDIA_TYPE",
        message: /UTF-8/,
      })
    },
  )

  test.each([
    ["gzip", Bun.gzipSync("{}")],
    ["deflate", Bun.deflateSync("{}")],
    ["zstd", Bun.zstdCompressSync("{}")],
    ["br", brotliCompressSync("{}")],
    ["x-gzip, identity", Bun.gzipSync("{}")],
  ])("is 415 compressed by %s", async (encoding, body) => {
    const answer = await fetch(`${service.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        "content-type": "application/json",
        "content-encoding": encoding,
      },
      body,
    })
    expect(answer.headers.get("accept-encoding")).toBe("identity")
    await expectProblem(answer, {
      status: 415,
      code: "UNSUPPORTED_MEDIA_TYPE",
      message: /^The Content-Encoding .* Send the body uncompressed/,
    })
  })

  test("is 415 without a type", async () => {
    const connection = await open()
    connection.send(
      head(`${method} /api/v1${path}`, { authorization: `Bearer ${key}`, "content-length": "2" }),
    )
    connection.send("{}")
    await expectProblem(asResponse(await connection.answer()), {
      status: 415,
      code: "UNSUPPORTED_MEDIA_TYPE",
    })
  })

  test.each([
    ["cut off", "{", "The body is not valid JSON."],
    ["JavaScript", "{a:1}", "The body is not valid JSON."],
    ["with a comma too many", '{"a":1,}', "The body is not valid JSON."],
    ["two values", "{}{}", "The body is not valid JSON."],
    ["only space", " ", "The body is not valid JSON."],
    ["a list", "[]", "body: must be an object"],
    ["null", "null", "body: must be an object"],
    ["a text", '"email"', "body: must be an object"],
    ["a number", "1", "body: must be an object"],
    ["true", "true", "body: must be an object"],
    ["not UTF-8", Buffer.from('{"a":"\xff"}', "latin1"), "The body is not valid UTF-8."],
    ["UTF-16", Buffer.from("{}", "utf16le"), "The body is not valid JSON."],
  ])("is 400 if it is %s", async (_, body, message) => {
    for (const type of ["application/json", "Application/JSON; charset=utf-8"]) {
      await expectProblem(await send(body, type), invalid(message))
    }
  })

  test("is 400 as a form that is not UTF-8", async () => {
    const body = Buffer.from("title=\xff&email=\xff&apiKey=\xff", "latin1")
    await expectProblem(
      await send(body, "application/x-www-form-urlencoded"),
      invalid("The body is not valid UTF-8."),
    )
  })
})

test.each([
  ["a byte order mark", "application/json", {}, '\ufeff{"title":"Ä"}'],
  ["charset=UTF-8 in quotes", 'application/json;charset="UTF-8"', {}, '{"title":"Ä"}'],
  ["Content-Encoding identity", "application/json", { "content-encoding": "identity" }, '{"title":"Ä"}'],
  ["a form in utf8", "application/x-www-form-urlencoded; charset=utf8", {}, "title=%C3%84"],
])("a body with %s is accepted", async (_, type, headers, body) => {
  const answer = await fetch(`${service.url}/sessions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": type, ...headers },
    body,
  })
  expect(answer.status).toBe(201)
})

test("the last of two equal names counts", async () => {
  const register = (body: string, type: string) =>
    fetch(`${service.url}/users/register`, { method: "POST", headers: { "content-type": type }, body })
  const emails = ["json", "form"].map((kind) => `${kind}-${crypto.randomUUID()}@example.com`)
  expect((await register(`{"email":"no","email":"${emails[0]}"}`, "application/json")).status).toBe(201)
  const form = await register(`email=no&email=${emails[1]}`, "application/x-www-form-urlencoded")
  expect(form.status).toBe(201)
  await expectProblem(await register('{"email":"no"}', "application/json"), invalid(/^email: /))
})

describe("a body over 1 MB", () => {
  const larger = (size: string) => ({
    status: 413,
    code: "PAYLOAD_TOO_LARGE",
    message: `The request body is larger than ${size}.`,
  })
  const tooLarge = larger("1 MB")
  const megabyte = 1024 * 1024
  const headers = () => ({ authorization: `Bearer ${key}`, "content-type": "application/json" })
  const chunk = (bytes: string) => `${bytes.length.toString(16)}\r\n${bytes}\r\n`
  /** JSON of exactly this many bytes. */
  const title = (bytes: number) => '{"title":"x"}'.padEnd(bytes)
  const stillServes = async (connection: RawClient) => {
    connection.send(head("GET /api/v1/health"))
    expect((await connection.answer()).status).toBe(200)
  }

  test("is rejected by its Content-Length, unread", async () => {
    const connection = await open()
    connection.send(head("POST /api/v1/sessions", { ...headers(), "content-length": `${megabyte + 1}` }))
    await expectProblem(asResponse(await connection.answer()), tooLarge)
    connection.send(title(megabyte + 1))
    await stillServes(connection)
  })

  test("is rejected in chunks, before its end", async () => {
    const connection = await open()
    connection.send(head("POST /api/v1/sessions", { ...headers(), "transfer-encoding": "chunked" }))
    connection.send(chunk(title(megabyte)))
    connection.send(chunk(" "))
    await expectProblem(asResponse(await connection.answer()), tooLarge)
    connection.send(`${chunk("more")}0\r\n\r\n`)
    await stillServes(connection)
  })

  test.each(["chunked", "with a length"])("starts one byte over the limit, %s", async (how) => {
    const connection = await open()
    const chunked = how === "chunked"
    const framing: Record<string, string> = chunked
      ? { "transfer-encoding": "chunked" }
      : { "content-length": `${megabyte}` }
    connection.send(head("POST /api/v1/sessions", { ...headers(), ...framing }))
    connection.send(chunked ? `${chunk(title(megabyte))}0\r\n\r\n` : title(megabyte))
    expect((await connection.answer()).status).toBe(201)
  })

  test.each(takers)("is rejected by %s %s", async (method, path) => {
    const body = title(megabyte + 1)
    const call = await fetch(`${service.url}${path}`, { method, headers: headers(), body })
    await expectProblem(call, /register|login/.test(path) ? larger("8 KB") : tooLarge)
  })

  test("is rejected at 8 KB on public routes", async () => {
    const send = (path: string, body: string) =>
      fetch(`${service.url}${path}`, { method: "POST", headers: headers(), body })
    for (const path of ["/users/register", "/auth/register", "/auth/login"]) {
      await expectProblem(await send(path, title(8 * 1024 + 1)), larger("8 KB"))
      expect((await send(path, title(8 * 1024))).status).toBe(400)
    }
  })
})

describe("a wrong key is rejected before the body is read", () => {
  test.each([
    ["POST", "/sessions", "application/json"],
    ["PATCH", `/sessions/${crypto.randomUUID()}`, "application/json"],
    ["POST", "/sessions", "application/x-www-form-urlencoded"],
    ["POST", "/sessions", "text/plain"],
    ["POST", "/voice/conversation", "multipart/form-data; boundary=x"],
  ])("%s %s as %s", async (method, path, type) => {
    for (const framing of [{ "content-length": `${2 ** 40}` }, { "transfer-encoding": "chunked" }]) {
      const connection = await open()
      const line = `${method} /api/v1${path}`
      const headers = { ...framing, "content-type": type, authorization: "Bearer sk_unknown" }
      connection.send(head(line, headers))
      await expectProblem(asResponse(await connection.answer()), { status: 401, code: "INVALID_API_KEY" })
      connection.leave()
    }
  })
})
