import { afterAll, expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { Duration, Effect, Option, Redacted, Schema } from "effect"
import { makeOutbound, type OutboundOptions } from "../../src/outbound/outbound.ts"
import { newId, SessionId, TurnId, UserId } from "../../src/schema.ts"
import { HttpTool } from "../../src/tools/http/definition.ts"
import { makeHttpTool } from "../../src/tools/http/http-tool.ts"
import { selfSigned } from "../support/certificates.ts"
import { tempFolder } from "../support/temp-folders.ts"
import { startRawServer, startToolServer } from "../support/tool-server.ts"

const servers: Array<{ readonly stop: () => Promise<void> }> = []
afterAll(() => Promise.all(servers.map(({ stop }) => stop())))

const start = async (...args: Parameters<typeof startToolServer>) => {
  const server = await startToolServer(...args)
  servers.push(server)
  return server
}
const startRaw = async (...args: Parameters<typeof startRawServer>) => {
  const server = await startRawServer(...args)
  servers.push(server)
  return server
}

const secrets: Readonly<Record<string, string>> = { BROKEN: "a\r\nb: c", KEY: 'k"123456' }

const local: OutboundOptions = { allowedNetworks: ["127.0.0.1"], blockedNetworks: [], isHttpAllowed: false }

const makeTool = (definition: object, options: Partial<OutboundOptions> = {}) =>
  makeHttpTool(Schema.decodeUnknownSync(HttpTool)({ type: "http", name: "tool", ...definition }), {
    outbound: makeOutbound({ ...local, ...options }),
    readSecret: (name) => Effect.succeed(Option.map(Option.fromNullable(secrets[name]), Redacted.make)),
  })

const call = (
  definition: object,
  values: Readonly<Record<string, unknown>> = {},
  options: Partial<OutboundOptions> = {},
) =>
  Effect.runPromise(
    makeTool(definition, options).run({
      callId: "call_1",
      idempotencyKey: "key-1",
      arguments: values,
      userId: newId(UserId),
      sessionId: newId(SessionId),
      turnId: newId(TurnId),
    }),
  )

const properties = (...names: ReadonlyArray<string>) => ({
  parameters: { type: "object", properties: Object.fromEntries(names.map((name) => [name, {}])) },
})

const echo = () => start((out, { method, path, body }) => out.end(`${method} ${path} ${body}`.trim()))

test("arguments in the URL, the rest in the query", async () => {
  const { url, requests } = await echo()
  const definition = {
    ...properties("id", "q", "n", "tags", "deep"),
    url: `${url}/a/{id}.json?q={q}&fixed=1`,
  }
  const ask = async (values: object) => (await call(definition, { ...values })).output
  expect(await ask({ id: "ü/?&#", q: "a b&fixed=2" })).toBe(
    "GET /a/%C3%BC%2F%3F%26%23.json?q=a%20b%26fixed%3D2&fixed=1",
  )
  expect(await ask({ id: 7, n: 1.5, tags: ["x", "y"], deep: { a: 1 } })).toBe(
    "GET /a/7.json?fixed=1&n=1.5&tags=x&tags=y&deep=%7B%22a%22%3A1%7D",
  )
  // Undeclared arguments and absent values are not sent, nor is what would replace a fixed parameter.
  expect(await ask({ id: 1, q: null, other: "x", fixed: "2" })).toBe("GET /a/1.json?fixed=1")
  expect(requests[0]?.headers).toMatchObject({ "idempotency-key": "key-1", "user-agent": "voice-agent" })
  for (const id of [undefined, null, ""]) {
    expect(await call(definition, { id })).toEqual({ output: "The argument id is missing.", isError: true })
  }
  expect(requests).toHaveLength(3)
})

test.each(["..", "."])("an argument that leads to another path: %s", async (id) => {
  const { url, requests } = await echo()
  const found = await call({ ...properties("id"), url: `${url}/users/{id}` }, { id })
  expect(found).toEqual({ output: 'An argument may not be "." or "..".', isError: true })
  expect(requests).toEqual([])
})

test.each(["%2e%2e", "..%2f..", "..\\..", "../admin", "{{secret:KEY}}", "{id}", "\ud800"])(
  "an argument stays in its place: %j",
  async (id) => {
    const { url, requests } = await echo()
    await call({ ...properties("id"), url: `${url}/users/{id}?id={id}` }, { id })
    const { pathname, searchParams } = new URL(requests[0]?.path ?? "", url)
    const sent = id.toWellFormed()
    expect(pathname.split("/").slice(0, 2)).toEqual(["", "users"])
    expect(pathname.split("/")).toHaveLength(3)
    expect(decodeURIComponent(pathname.split("/")[2] ?? "")).toBe(sent)
    expect(searchParams.get("id")).toBe(sent)
  },
)

test("an argument with the name of a method of objects", async () => {
  const { url, requests } = await echo()
  for (const name of ["constructor", "toString", "hasOwnProperty", "valueOf", "__proto__"]) {
    const parameters = { type: "object", additionalProperties: true }
    expect(await call({ parameters, url: `${url}/u/{${name}}/x` }, {})).toEqual({
      output: `The argument ${name} is missing.`,
      isError: true,
    })
    expect((await call({ parameters, url: `${url}/u?a={${name}}` }, {})).output).toBe("GET /u")
  }
  expect(requests).toHaveLength(5)
})

test("a JSON body", async () => {
  const { url, requests } = await echo()
  const definition = { ...properties("id", "text"), url: `${url}/{id}`, method: "POST" }
  expect((await call(definition, { id: "1", text: "ü", other: 1 })).output).toBe('POST /1 {"text":"ü"}')
  await call({ ...definition, headers: { "Content-Type": "application/vnd.api+json" } }, { id: "1" })
  expect(requests.map(({ headers }) => headers["content-type"])).toEqual([
    "application/json",
    "application/vnd.api+json",
  ])
  expect((await call({ ...definition, method: "DELETE" }, { id: "1", text: "a" })).output).toBe(
    "DELETE /1?text=a",
  )
})

test("secrets reach the server, and no answer", async () => {
  const { url, requests } = await start((out, { headers, path }) =>
    out.end(`${headers.authorization} ${path}`),
  )
  const definition = {
    url: `${url}/?key={{secret:KEY}}`,
    headers: { authorization: "Bearer {{ secret:KEY }}" },
  }
  const found = await call(definition)
  expect(requests[0]?.headers.authorization).toBe('Bearer k"123456')
  expect(requests[0]?.path).toBe("/?key=k%22123456")
  expect(found.output).toBe("Bearer [secret] /?key=[secret]")
  expect(await call({ ...definition, headers: { a: "{{secret:NONE}}" } })).toEqual({
    output: "The tool needs the secret NONE. Its owner has to set it.",
    isError: true,
  })
  const broken = await call({ ...definition, headers: { a: "{{secret:BROKEN}}" } })
  expect(broken).toMatchObject({ isError: true })
  expect(broken.output).not.toContain("b: c")
  expect(requests).toHaveLength(1)
})

test.each([
  [
    "application/json",
    '{ "id": 12345678901234567890,\n "a b": [ 1, 2 ] }',
    '{"id":12345678901234567890,"a b":[1,2]}',
  ],
  ["application/problem+json; charset=utf-8", "[ 1 ]", "[1]"],
  ["text/plain", "  two  words\n", "two  words"],
  ["", "plain", "plain"],
  ["text/plain; charset=iso-8859-1", Buffer.from([0x66, 0xfc, 0x72]), "für"],
  ["text/plain; charset=nonsense", "ü", "ü"],
  [
    "text/html",
    "<!doctype html><html><head><title>T</title><style>a{}</style></head><body><script>x()</script><h1>Caf&eacute;</h1><p>Open <b>now</b>&nbsp;&lt;3<br>Bye</body></html>",
    "Café\nOpen now <3\nBye",
  ],
  ["application/json", "{broken", "{broken"],
  ["application/xml", "<a>1</a>", "<a>1</a>"],
])("an answer of type %s", async (type, body, output) => {
  const { url } = await start((out) =>
    out.writeHead(200, type === "" ? {} : { "content-type": type }).end(body),
  )
  expect(await call({ url })).toEqual({ output, isError: false })
})

test.each([
  ["image/png", "PNG"],
  ["application/octet-stream", "abc"],
  ["application/pdf", "%PDF-1.7"],
  // The type says text, the bytes do not.
  ["text/plain", Buffer.from([1, 0, 2])],
  ["application/json", Buffer.from([0x7b, 0, 0x7d])],
])("an answer that is no text: %s", async (type, body) => {
  const { url } = await start((out) => out.writeHead(200, { "content-type": type }).end(body))
  expect(await call({ url })).toEqual({
    output: "The call succeeded with status 200. Its answer is no text, so it cannot be read.",
    isError: false,
  })
})

test("a type that changes between calls", async () => {
  const answers = [
    ["application/json", '{ "a": 1 }'],
    ["text/html", "<p>one"],
    ["image/png", "x"],
  ] as const
  let count = 0
  const { url } = await start((out) => {
    const [type, body] = answers[count % 3] ?? answers[0]
    count += 1
    out.writeHead(200, { "content-type": type }).end(body)
  })
  const outputs = [await call({ url }), await call({ url }), await call({ url })].map(({ output }) => output)
  expect(outputs).toEqual(['{"a":1}', "one", expect.stringContaining("no text")])
})

test("empty answers and failures of the server", async () => {
  const { url } = await start((out, { path }) => {
    const status = Number(path.slice(1, 4))
    out.writeHead(status).end(status === 204 || path.endsWith("e") ? "" : "because")
  })
  const ask = (path: string) => call({ url: `${url}/${path}` })
  expect(await ask("204")).toEqual({
    output: "The call succeeded with status 204 and an empty answer.",
    isError: false,
  })
  expect(await ask("404")).toEqual({ output: "The tool failed with status 404: because", isError: true })
  expect(await ask("500e")).toEqual({
    output: "The tool failed with status 500 and an empty answer.",
    isError: true,
  })
})

test("a long answer is cut", async () => {
  const { url } = await start((out) => out.end("ü".repeat(100)))
  const found = await call({ url, maxResultBytes: 11 })
  expect(found).toEqual({ output: "üüüüü\n[The rest of the answer was left out.]", isError: false })
  expect((await call({ url })).output).toBe("ü".repeat(100))
})

test("the beginning of a long page is converted", async () => {
  const left = "[The rest of the answer was left out.]"
  const page = (length: number) => `<p>a</p>${"<i>".repeat(length / 3)}<p>b</p>`
  for (const [length, said] of [
    [9000, "a\nb"],
    [300_000, `a\n${left}`],
    [1_500_000, `a\n${left}`],
  ] as const) {
    const { url } = await start((out) =>
      out.writeHead(200, { "content-type": "text/html" }).end(page(length)),
    )
    expect((await call({ url })).output).toBe(said)
  }
})

test("100 MB", async () => {
  let sent = 0
  const chunk = Buffer.alloc(65_536, "a")
  const server = await startRaw((socket) => {
    socket.write("HTTP/1.1 200 OK\r\n\r\n")
    const write = () => {
      while (sent < 100 * 1024 ** 2 && !socket.destroyed) {
        sent += chunk.length
        if (!socket.write(chunk)) return
      }
    }
    socket.on("drain", write)
    write()
  })
  const { output } = await call({ url: server.url })
  expect(output).toBe(`${"a".repeat(16_384)}\n[The rest of the answer was left out.]`)
  await server.hungUp
  expect(sent).toBeLessThan(20 * 1024 ** 2)
})

test("faults are told to the model, without addresses", async () => {
  const inner = await start((out) => out.end("inner"))
  const redirect = await start((out) =>
    out.writeHead(302, { location: `http://127.0.0.2:${inner.port}/x` }).end(),
  )
  const cut = await startRaw((socket) => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"))
  const hangs = await start(() => undefined)
  const self = await selfSigned(tempFolder("http-tool"), "self")
  const tls = await start((out) => out.end(), self)
  const unknown = " Whether the call was carried out is unknown."
  const notPublic = "The tool failed. The address of the server is not public, so it is not called."
  const ended = "The tool failed. The connection to the server ended before its answer did."
  const cases = [
    [{ url: redirect.url }, notPublic],
    [{ url: "https://127.0.0.3/" }, notPublic],
    [{ url: "https://localhost./" }, notPublic],
    [{ url: "https://[::1]/" }, notPublic],
    [{ url: cut.url }, ended],
    [{ url: cut.url, method: "POST" }, `${ended}${unknown}`],
    [{ url: hangs.url, timeoutSeconds: 0.1 }, "The tool failed. The server did not answer within 0.1 s."],
    [
      { url: hangs.url, timeoutSeconds: 0.1, method: "PUT" },
      `The tool failed. The server did not answer within 0.1 s.${unknown}`,
    ],
    [
      { url: tls.url },
      "The tool failed. The certificate of the server is not valid: it has expired, names another host, or no trusted authority has signed it.",
    ],
  ] as const
  const blocked = { allowedNetworks: ["127.0.0.1"], resolve: () => Promise.resolve(["127.0.0.9"]) }
  for (const [definition, output] of cases) {
    const found = await call(definition, {}, definition.url.includes("localhost") ? blocked : {})
    expect(found).toEqual({ output, isError: true })
  }
  expect(inner.requests).toEqual([])
  expect((await call({ url: tls.url }, {}, { ca: readFileSync(self.certificate, "utf8") })).isError).toBe(
    false,
  )
})

test("only an idempotent tool is repeated, with the same key", async () => {
  let left = 0
  const { url, requests } = await start((out, { path }) => {
    left -= 1
    if (left < 0) out.end("done")
    else if (path === "/cut") out.destroy()
    else out.writeHead(Number(path.slice(1)), { "retry-after": "0" }).end("busy")
  })
  const tries = async (path: string, failures: number, isIdempotent: boolean) => {
    left = failures
    const before = requests.length
    const found = await call({ url: `${url}${path}`, method: "POST", isIdempotent })
    return { ...found, tries: requests.length - before }
  }
  expect(await tries("/503", 2, true)).toEqual({ output: "done", isError: false, tries: 3 })
  expect(await tries("/429", 1, true)).toEqual({ output: "done", isError: false, tries: 2 })
  expect(await tries("/cut", 1, true)).toEqual({ output: "done", isError: false, tries: 2 })
  expect(await tries("/503", 9, true)).toEqual({
    output: "The tool failed with status 503: busy",
    isError: true,
    tries: 3,
  })
  expect(await tries("/500", 1, true)).toMatchObject({ isError: true, tries: 1 })
  expect(await tries("/404", 1, true)).toMatchObject({ isError: true, tries: 1 })
  for (const path of ["/503", "/429", "/cut"]) {
    expect(await tries(path, 1, false)).toMatchObject({ isError: true, tries: 1 })
  }
  expect(new Set(requests.map(({ headers }) => headers["idempotency-key"]))).toEqual(new Set(["key-1"]))
})

test("what the turn needs of a tool", () => {
  const { tool, isIdempotent, timeout } = makeTool({
    ...properties("a"),
    description: "Does it.",
    url: "https://a.test/",
    isIdempotent: true,
    timeoutSeconds: 3,
  })
  expect(tool).toEqual({ name: "tool", description: Option.some("Does it."), ...properties("a") })
  expect([isIdempotent, Duration.toMillis(timeout)]).toEqual([true, 3000])
})
