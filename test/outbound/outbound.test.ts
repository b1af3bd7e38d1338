import { afterAll, expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import type { Socket } from "node:net"
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib"
import { Duration, Effect, Either, Fiber } from "effect"
import { explainOutbound, mayHaveArrived } from "../../src/outbound/errors.ts"
import { makeOutbound, type OutboundOptions } from "../../src/outbound/outbound.ts"
import type { OutboundRequest } from "../../src/outbound/redirect.ts"
import { selfSigned, signedBy } from "../support/certificates.ts"
import { tempFolder } from "../support/temp-folders.ts"
import { startRawServer, startToolServer, type ToolServer } from "../support/tool-server.ts"

const servers: Array<{ readonly stop: () => Promise<void> }> = []
afterAll(() => Promise.all(servers.map(({ stop }) => stop())))

const start = async (...args: Parameters<typeof startToolServer>): Promise<ToolServer> => {
  const server = await startToolServer(...args)
  servers.push(server)
  return server
}

const startRaw = async (...args: Parameters<typeof startRawServer>) => {
  const server = await startRawServer(...args)
  servers.push(server)
  return server
}

/** Every name is this machine's, unless the test says otherwise. */
const local: OutboundOptions = {
  allowedNetworks: ["127.0.0.0/8"],
  blockedNetworks: [],
  isHttpAllowed: false,
  resolve: () => Promise.resolve(["127.0.0.1"]),
  own: () => [],
}

const limits = { timeout: Duration.seconds(10), maxBytes: 1000 }

const request = (
  outgoing: Partial<OutboundRequest> & { readonly url: string },
  options: Partial<OutboundOptions> = {},
  more: Partial<typeof limits> = {},
) =>
  Effect.runPromise(
    Effect.either(
      makeOutbound({ ...local, ...options }).request(
        { method: "GET", headers: {}, ...outgoing },
        { ...limits, ...more },
      ),
    ),
  )

const failure = async (...args: Parameters<typeof request>) =>
  Either.getOrThrow(Either.flip(await request(...args)))
const answer = async (...args: Parameters<typeof request>) => {
  const { bytes, ...rest } = Either.getOrThrow(await request(...args))
  return { ...rest, text: new TextDecoder().decode(bytes) }
}

test("a request as it was given", async () => {
  const server = await start((out) => out.writeHead(201, { "x-one": "1" }).end("hello"))
  const found = await answer({
    url: `http://tool.test:${server.port}/a%2Fb?c=d#e`,
    method: "POST",
    headers: { authorization: "Bearer k", "content-type": "text/plain" },
    body: "наме",
  })
  expect(found).toMatchObject({ status: 201, text: "hello", isCut: false })
  expect(found.headers.get("x-one")).toBe("1")
  expect(server.requests).toMatchObject([
    {
      method: "POST",
      path: "/a%2Fb?c=d",
      body: "наме",
      headers: {
        host: `tool.test:${server.port}`,
        authorization: "Bearer k",
        "content-type": "text/plain",
        "accept-encoding": "identity",
      },
    },
  ])
})

test.each([
  "file:///etc/passwd",
  "ftp://tool.test/",
  "gopher://tool.test/",
  "https://user@tool.test/",
  "https://user:password@tool.test/",
  "https://:password@tool.test/",
  "//tool.test/",
  "",
  "https://256.1.1.1/",
])("refused URL: %s", async (url) => expect(await failure({ url })).toMatchObject({ _tag: "UrlRefused" }))

test.each([
  "https://127.0.0.1/",
  "https://127.1/",
  "https://2130706433/",
  "https://0x7f000001/",
  "https://0177.0.0.1/",
  "https://127.0.0.1./",
  "https://①②⑦.⓪.⓪.①/",
  "https://0/",
  "https://[::1]/",
  "https://[::]/",
  "https://[::ffff:127.0.0.1]/",
  "https://[::ffff:7f00:1]/",
  "https://[64:ff9b::7f00:1]/",
  "https://169.254.169.254/latest/meta-data/",
  "https:\\\\127.0.0.1/",
  "https:127.0.0.1",
])("refused address: %s", async (url) =>
  expect(await failure({ url }, { allowedNetworks: [] })).toMatchObject({ _tag: "AddressRefused" }),
)

test.each(["localhost", "localhost.", "inner.test", "a.inner.test."])("refused name: %s", async (host) => {
  const server = await start((out) => out.end("inner"))
  const options = { allowedNetworks: [], isHttpAllowed: true }
  const found = await failure({ url: `http://${host}:${server.port}/` }, options)
  expect(found).toMatchObject({ _tag: "AddressRefused" })
  expect(server.requests).toEqual([])
})

test("the system's own names for this machine", async () => {
  const { resolve: _, own: __, ...rules } = { ...local, allowedNetworks: [] }
  for (const url of ["https://localhost/", "https://localhost./", "https://LOCALHOST:8443/"]) {
    const found = await Effect.runPromise(
      Effect.flip(makeOutbound(rules).request({ url, method: "GET", headers: {} }, limits)),
    )
    expect(found).toMatchObject({ _tag: "AddressRefused" })
  }
})

test("a name is resolved once, and its checked address is called", async () => {
  const server = await start((out) => out.end("checked"))
  let lookups = 0
  const resolve = () => {
    lookups += 1
    // The second answer would lead elsewhere: DNS rebinding.
    return Promise.resolve([lookups === 1 ? "127.0.0.1" : "127.0.0.9"])
  }
  expect(await answer({ url: `http://tool.test:${server.port}/` }, { resolve })).toMatchObject({
    text: "checked",
  })
  expect(lookups).toBe(1)
})

test("only the addresses that may be called are tried", async () => {
  const server = await start((out) => out.end("ok"))
  const url = `http://tool.test:${server.port}/`
  const rules = { allowedNetworks: ["127.0.0.1"] }
  const resolve = () => Promise.resolve(["10.0.0.1", "fd00::1", "127.0.0.1"])
  expect(await answer({ url }, { ...rules, resolve })).toMatchObject({ text: "ok" })
  // Nobody listens on the first one.
  const two = { allowedNetworks: ["127.0.0.0/8"], resolve: () => Promise.resolve(["127.0.0.2", "127.0.0.1"]) }
  expect(await answer({ url }, two)).toMatchObject({ text: "ok" })
})

test("names that lead nowhere", async () => {
  const resolve = () => Promise.reject(new Error("ENOTFOUND"))
  expect(await failure({ url: "https://none.test/" }, { resolve })).toMatchObject({ _tag: "HostNotFound" })
  expect(await failure({ url: "https://none.test/" }, { resolve: () => Promise.resolve([]) })).toMatchObject({
    _tag: "AddressRefused",
  })
  const hangs = { resolve: () => new Promise<never>(() => undefined), connectTimeout: Duration.millis(50) }
  expect(await failure({ url: "https://none.test/" }, hangs)).toMatchObject({
    _tag: "OutboundTimeout",
    phase: "connect",
  })
})

test("public servers need https and a port of the web", async () => {
  const resolve = () => Promise.resolve(["8.8.8.8"])
  const refused = (url: string, isHttpAllowed: boolean) => failure({ url }, { resolve, isHttpAllowed })
  expect(await refused("http://tool.test/", false)).toMatchObject({ reason: "must start with https://" })
  for (const port of [22, 25, 111, 1023]) {
    expect(await refused(`http://tool.test:${port}/`, true)).toMatchObject({
      reason: "must have port 80, 443, or one from 1024",
    })
  }
})

test("redirects", async () => {
  const server = await start((out, { path, headers, method }) => {
    const [, status = "", to = ""] = /^\/(\d+)\/(.*)$/.exec(path) ?? []
    if (status === "") out.end(`${method} ${headers.authorization} ${headers["content-type"]}`)
    else out.writeHead(Number(status), to === "none" ? {} : { location: decodeURIComponent(to) }).end("moved")
  })
  const other = await start((out, { headers, method, body }) =>
    out.end(`${method} ${headers.authorization} ${headers["x-key"]} ${headers.accept} ${body}`),
  )
  const headers = { authorization: "Bearer k", "x-key": "k", accept: "text/plain", "content-type": "a/b" }
  const ask = (path: string, method = "GET") =>
    request({ url: `${server.url}${path}`, method, headers, ...(method === "GET" ? {} : { body: "b" }) })
  const text = async (path: string, method?: string) =>
    new TextDecoder().decode(Either.getOrThrow(await ask(path, method)).bytes)
  const fault = async (path: string) => Either.getOrThrow(Either.flip(await ask(path)))
  const to = (url: string, status = 302) => `/${status}/${encodeURIComponent(url)}`

  expect(await text(to("/end"))).toBe("GET Bearer k a/b")
  expect(await text(to("/end"), "POST")).toBe("GET Bearer k undefined")
  expect(await text(to("/end", 303), "PUT")).toBe("GET Bearer k undefined")
  expect(await text(to("/end", 302), "PUT")).toBe("PUT Bearer k a/b")
  expect(await text(to("/end", 307), "POST")).toBe("POST Bearer k a/b")
  expect(await text(to(other.url, 308), "POST")).toBe("POST undefined undefined text/plain b")
  expect(await text(to("/302/%2Fend"))).toBe("GET Bearer k a/b")

  expect(await fault("/302/none")).toMatchObject({ _tag: "RedirectRefused" })
  expect(await fault(to("http://[/"))).toMatchObject({ _tag: "RedirectRefused" })
  expect(await fault(to("file:///etc/passwd"))).toMatchObject({ _tag: "UrlRefused" })
  expect(await fault(to(`http://user:password@127.0.0.1:${other.port}/`))).toMatchObject({
    _tag: "UrlRefused",
  })
  const nested = [1, 2, 3, 4].reduce((path) => to(path), "/end")
  expect(await fault(nested)).toMatchObject({ reason: "more than 3 times" })
})

test("a redirect to an inner address", async () => {
  const inner = await start((out) => out.end("secret"))
  const outer = await start((out, { path }) => out.writeHead(302, { location: path.slice(1) }).end())
  const allowed = { allowedNetworks: ["127.0.0.1"] }
  expect(await answer({ url: `${outer.url}/${inner.url}` }, allowed)).toMatchObject({ text: "secret" })
  const before = inner.requests.length
  for (const location of [
    `http://127.0.0.2:${inner.port}/`,
    `http://0x7f000002:${inner.port}/`,
    `http://[::1]:${inner.port}/`,
    `http://10.0.0.1/`,
    `http://169.254.169.254/`,
  ]) {
    const found = await failure({ url: `${outer.url}/${location}` }, allowed)
    expect(found).toMatchObject({ _tag: "AddressRefused" })
  }
  expect(inner.requests).toHaveLength(before)
})

test("certificates", async () => {
  const folder = tempFolder("outbound")
  const ca = await selfSigned(folder, "ca")
  const valid = await signedBy(folder, ca, { name: "valid", host: "DNS:tool.test" })
  const expired = await signedBy(folder, ca, { name: "expired", host: "DNS:tool.test", days: -1 })
  const [server, old] = [
    await start((out) => out.end("tls"), valid),
    await start((out) => out.end("old"), expired),
  ]
  const trusted = { ca: readFileSync(ca.certificate, "utf8") }
  const found = await answer({ url: `https://tool.test:${server.port}/` }, trusted)
  expect(found).toMatchObject({ text: "tls" })
  expect(await answer({ url: `https://tool.test.:${server.port}/` }, trusted)).toMatchObject({ text: "tls" })
  const refused = { _tag: "ConnectionFailed", phase: "tls" }
  expect(await failure({ url: `https://other.test:${server.port}/` }, trusted)).toMatchObject(refused)
  expect(await failure({ url: `https://127.0.0.1:${server.port}/` }, trusted)).toMatchObject(refused)
  expect(await failure({ url: `https://tool.test:${server.port}/` })).toMatchObject(refused)
  expect(await failure({ url: `https://tool.test:${old.port}/` }, trusted)).toMatchObject(refused)
  expect(server.requests).toHaveLength(2)
  expect(old.requests).toHaveLength(0)
  const silent = await startRaw(() => undefined)
  expect(
    await failure({ url: `https://tool.test:${silent.port}/` }, { connectTimeout: Duration.millis(100) }),
  ).toMatchObject({ _tag: "OutboundTimeout", phase: "connect" })
})

test.each([
  ["HTTP", (socket: Socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n")],
  ["SMTP", (socket: Socket) => socket.write("220 mail.test\r\n")],
  ["nothing, and closes", (socket: Socket) => socket.end()],
  ["nothing, and resets", (socket: Socket) => socket.resetAndDestroy()],
  ["a TLS alert", (socket: Socket) => socket.end(Buffer.from([21, 3, 3, 0, 2, 2, 40]))],
])("a port without TLS speaks %s", async (_, speak) => {
  const server = await startRaw(speak)
  const error = await failure({ url: `https://tool.test:${server.port}/` })
  expect(error).toMatchObject({ _tag: "ConnectionFailed", phase: "handshake" })
  expect(explainOutbound(error)).toBe("The server does not speak TLS at this port, or ended the handshake.")
  expect(mayHaveArrived(error)).toBe(false)
})

test("nobody listens", async () => {
  const gone = await startToolServer((out) => out.end())
  await gone.stop()
  expect(await failure({ url: gone.url })).toMatchObject({ _tag: "ConnectionFailed", phase: "connect" })
})

test.each([
  ["a body shorter than its length", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"],
  ["a chunk that is cut off", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nabc"],
  ["no last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"],
  ["no HTTP", "SSH-2.0-OpenSSH_9.2\r\n"],
  ["half a head", "HTTP/1.1 200 OK\r\nContent-Le"],
  ["an endless head", `HTTP/1.1 200 OK\r\nx: ${"a".repeat(100_000)}\r\n\r\n`],
  ["nothing", ""],
  ["another protocol", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nabc"],
])("cut: %s", async (_, text) => {
  const server = await startRaw((socket) => socket.end(text))
  expect(await failure({ url: server.url })).toMatchObject({ _tag: "ConnectionFailed", phase: "cut" })
})

test("100 MB", async () => {
  let sent = 0
  const chunk = Buffer.alloc(65_536, "a")
  const server = await startRaw((socket) => {
    socket.write("HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n")
    const write = () => {
      while (sent < 100 * 1024 ** 2 && !socket.destroyed) {
        sent += chunk.length
        if (!socket.write(chunk)) return
      }
    }
    socket.on("drain", write)
    write()
  })
  expect(await answer({ url: server.url }, {}, { maxBytes: 5 })).toMatchObject({ text: "aaaaa", isCut: true })
  await server.hungUp
  // What fits into the buffers of both sides.
  expect(sent).toBeLessThan(20 * 1024 ** 2)
})

test.each([
  ["gzip", gzipSync],
  ["x-gzip", gzipSync],
  ["deflate", deflateSync],
  ["br", brotliCompressSync],
] as const)("compressed all the same: %s", async (encoding, compress) => {
  // A bomb: 100 MB in 100 kB.
  const bomb = compress(Buffer.alloc(100 * 1024 ** 2, "a"))
  const server = await start((out, { path }) =>
    out.writeHead(200, { "content-encoding": encoding }).end(path === "/bomb" ? bomb : compress("hello")),
  )
  expect(await answer({ url: server.url })).toMatchObject({ text: "hello", isCut: false })
  const before = process.memoryUsage().rss
  expect(await answer({ url: `${server.url}/bomb` })).toMatchObject({ text: "a".repeat(1000), isCut: true })
  expect(process.memoryUsage().rss - before).toBeLessThan(60 * 1024 ** 2)
})

test("compressed in a wrong way", async () => {
  const server = await start((out, { path }) =>
    out.writeHead(200, { "content-encoding": path.slice(1) }).end("plain"),
  )
  for (const encoding of ["gzip", "br", "deflate", "lzma"]) {
    expect(await failure({ url: `${server.url}/${encoding}` })).toMatchObject({ _tag: "AnswerUnreadable" })
  }
})

test("a server that hangs", async () => {
  const silent = await start(() => undefined)
  const found = await failure({ url: silent.url }, {}, { timeout: Duration.millis(100) })
  expect(found).toMatchObject({ _tag: "OutboundTimeout", phase: "answer", seconds: 0.1 })
  await silent.hungUp
  // In the middle of its body, too.
  const stuck = await start((out) => out.writeHead(200).write("begin"))
  const late = await failure({ url: stuck.url }, {}, { timeout: Duration.millis(100) })
  expect(late).toMatchObject({ _tag: "OutboundTimeout", phase: "answer" })
  await stuck.hungUp
})

test("an interruption ends the connection", async () => {
  const { promise: arrived, resolve: onRequest } = Promise.withResolvers<void>()
  const server = await start(() => onRequest())
  const fiber = Effect.runFork(
    makeOutbound(local).request({ url: server.url, method: "GET", headers: {} }, limits),
  )
  await arrived
  await Effect.runPromise(Fiber.interrupt(fiber))
  await server.hungUp
})

test("fetch", async () => {
  const inner = await start((out, { method, body, headers }) =>
    out
      .writeHead(200, { "content-type": "application/json" })
      .end(JSON.stringify({ method, body, key: headers["x-key"] })),
  )
  const outer = await start((out, { path }) => {
    if (path === "/none") out.writeHead(204).end()
    else if (path === "/large") out.end(Buffer.alloc(9 * 1024 ** 2))
    else out.writeHead(307, { location: inner.url }).end()
  })
  const { fetch } = makeOutbound(local)
  const init = { method: "POST", body: "b", headers: new Headers({ "x-key": "k" }) }
  expect(await (await fetch(inner.url, init)).json()).toEqual({ method: "POST", body: "b", key: "k" })
  expect(await (await fetch(outer.url, init)).json()).toEqual({ method: "POST", body: "b" })
  expect((await fetch(outer.url, { ...init, redirect: "manual" })).status).toBe(307)
  expect((await fetch(new URL("/none", outer.url))).status).toBe(204)
  await expect((await fetch(`${outer.url}/large`)).arrayBuffer()).rejects.toMatchObject({
    _tag: "AnswerUnreadable",
  })
  await expect(makeOutbound({ ...local, allowedNetworks: [] }).fetch(inner.url)).rejects.toMatchObject({
    _tag: "AddressRefused",
  })
})

test("fetch: a stream that its reader leaves, or aborts", async () => {
  const server = () =>
    start((out) => out.writeHead(200, { "content-type": "text/event-stream" }).write("data: 1\n\n"))
  const [left, aborted] = [await server(), await server()]
  const { fetch } = makeOutbound(local)
  const first = await fetch(left.url)
  const reader = first.body?.getReader()
  expect(new TextDecoder().decode((await reader?.read())?.value)).toBe("data: 1\n\n")
  await reader?.cancel()
  await left.hungUp
  const controller = new AbortController()
  const second = await fetch(aborted.url, { signal: controller.signal })
  const text = second.text()
  controller.abort()
  await expect(text).rejects.toBeDefined()
  await aborted.hungUp
})

test("fetch: a connection that breaks before its reader reads", async () => {
  for (const head of ["Content-Length: 100", "Content-Encoding: gzip\r\nContent-Length: 100"]) {
    const server = await startRaw((socket) => {
      socket.write(`HTTP/1.1 200 OK\r\n${head}\r\n\r\nabc`)
      setTimeout(() => socket.resetAndDestroy(), 20)
    })
    const answer = await makeOutbound(local).fetch(server.url)
    await server.hungUp
    await Bun.sleep(50)
    await expect(answer.text()).rejects.toMatchObject({
      _tag: expect.stringMatching(/ConnectionFailed|AnswerUnreadable/),
    })
  }
})
