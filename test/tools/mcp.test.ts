import { afterAll, expect, test } from "bun:test"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import * as BunFileSystem from "@effect/platform-bun/BunFileSystem"
import { ConfigProvider, Effect, Fiber, Layer, ManagedRuntime, Option, Redacted, Schema } from "effect"
import { Settings } from "../../src/config.ts"
import { makeOutbound, Outbound } from "../../src/outbound/outbound.ts"
import { processExists } from "../../src/process.ts"
import { newId, SessionId, TurnId, UserId } from "../../src/schema.ts"
import { McpServer } from "../../src/tools/mcp/definition.ts"
import { McpServers } from "../../src/tools/mcp/mcp-servers.ts"
import type { RunnableTool } from "../../src/tools/runnable.ts"
import { startMcpHttpServer } from "../support/mcp-http-server.ts"
import { tempFolder } from "../support/temp-folders.ts"

const script = join(import.meta.dir, "../support/mcp-stdio-server.ts")
const program = (...args: ReadonlyArray<string>) => ({ command: process.execPath, args: [script, ...args] })

const programs = {
  bare: program(),
  works: { ...program(), env: { MCP_TEST: "set" } },
  hang: program("hang"),
  exit: program("exit"),
  noise: program("noise"),
  missing: { command: "/nowhere/mcp" },
}

const makeRuntime = (servers: string = JSON.stringify(programs)) =>
  ManagedRuntime.make(
    McpServers.layer.pipe(
      Layer.provide(
        Layer.succeed(
          Outbound,
          makeOutbound({ allowedNetworks: ["127.0.0.1"], blockedNetworks: [], isHttpAllowed: false }),
        ),
      ),
      Layer.provide(Settings.layer),
      Layer.provide(BunFileSystem.layer),
      Layer.provide(
        Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["MCP_STDIO_SERVERS", servers]]))),
      ),
    ),
  )

const runtime = makeRuntime()
afterAll(() => runtime.dispose())

const httpServers: Array<{ readonly stop: () => Promise<void> }> = []
afterAll(() => Promise.all(httpServers.map(({ stop }) => stop())))

const startHttp = (protocol: Parameters<typeof startMcpHttpServer>[0]["protocol"]) => {
  const server = startMcpHttpServer({ protocol })
  httpServers.push(server)
  return server
}

const owner = newId(UserId)
const secrets: Readonly<Record<string, string>> = { KEY: "k-123456" }

const toolsOf = (server: object, of = owner) =>
  Effect.flatMap(McpServers, ({ toolsOf }) =>
    toolsOf(of, Schema.decodeUnknownSync(McpServer)({ type: "mcp", name: "s", ...server }), (name) =>
      Effect.succeed(Option.map(Option.fromNullable(secrets[name]), Redacted.make)),
    ),
  )

/** Waits for a program that a busy machine starts slowly. */
const list = (server: object, on = runtime, of = owner) =>
  on.runPromise(Effect.retry(toolsOf(server, of), { while: ({ kind }) => kind === "unavailable", times: 10 }))

/** Why a server has no tools. */
const reasonOf = async (server: object, on = runtime) =>
  (await on.runPromise(Effect.flip(toolsOf(server)))).kind

const invoke = (
  tools: ReadonlyArray<RunnableTool>,
  name: string,
  values: Readonly<Record<string, unknown>> = {},
  idempotencyKey = "key-1",
) => {
  const found = tools.find(({ tool }) => tool.name === `s__${name}`)
  if (found === undefined) throw new Error(`There is no tool ${name}.`)
  return found.run({
    callId: "call_1",
    idempotencyKey,
    arguments: values,
    userId: newId(UserId),
    sessionId: newId(SessionId),
    turnId: newId(TurnId),
  })
}

const call = (...args: Parameters<typeof invoke>) => runtime.runPromise(invoke(...args))
const unknown = "Whether the call was carried out is unknown."
const closed = `The tool failed. The connection to its MCP server ended before the answer did. ${unknown}`

const eventually = async <A>(read: () => Promise<A>, is: (value: A) => boolean): Promise<A> => {
  for (;;) {
    const value = await read()
    if (is(value)) return value
    await Bun.sleep(20)
  }
}

test.each([
  ["stdio", () => ({ program: "works" })],
  ["HTTP with sessions", () => ({ url: startHttp("sessions").url })],
  ["HTTP with JSON answers", () => ({ url: startHttp("json").url })],
  ["HTTP of 2026", () => ({ url: startHttp("modern").url })],
] as const)("calls: %s", async (_, server) => {
  const tools = await list({ ...server(), maxResultBytes: 100 })
  const echo = tools.find(({ tool }) => tool.name === "s__echo")
  expect(echo?.tool).toMatchObject({
    description: Option.some("Says it again."),
    parameters: { type: "object", properties: { text: { type: "string" } }, required: ["text"] },
  })
  expect(await call(tools, "echo", { text: "hällo" })).toEqual({ output: "hällo", isError: false })
  expect(await call(tools, "count", {}, "key-2")).toEqual({ output: "key-2", isError: false })
  expect(await call(tools, "fails")).toEqual({ output: "no such order", isError: true })
  expect(await call(tools, "throws")).toEqual({ output: "broken inside", isError: true })
  expect(await call(tools, "empty")).toEqual({
    output: "The tool succeeded with an empty answer.",
    isError: false,
  })
  expect(await call(tools, "structured")).toEqual({ output: '{"degrees":21}', isError: false })
  expect(await call(tools, "name_with_dots")).toEqual({ output: "named", isError: false })
  expect((await call(tools, "big")).output).toBe(`${"ü".repeat(50)}\n[The rest of the answer was left out.]`)
  const wrong = await call(tools, "echo", { text: 7 })
  expect(wrong.isError).toBe(true)
})

test("programs do not read the service's .env", async () => {
  const folder = tempFolder("service")
  writeFileSync(join(folder, ".env"), "MCP_TEST=leaked\n")
  writeFileSync(join(folder, ".env.local"), "MCP_TEST=leaked\n")
  const servers = JSON.stringify({ bare: programs.bare, placed: { ...programs.bare, cwd: folder } })
  const own = makeRuntime(servers)
  const before = process.cwd()
  process.chdir(folder)
  try {
    const read = async (name: string) =>
      (await own.runPromise(invoke(await list({ program: name }, own), "pid"))).output.split(" ")[1]
    expect(await read("bare")).toBe("unset")
    expect(await read("placed")).toBe("leaked")
  } finally {
    process.chdir(before)
    await own.dispose()
  }
})

test("content that is no text is named", async () => {
  const tools = await list({ program: "works" })
  expect((await call(tools, "mixed")).output.split("\n")).toEqual([
    "see",
    "[image of type image/png, left out]",
    "[audio of type audio/wav, left out]",
    "inside",
    "[resource file:///b.bin of type a/b, left out]",
    "[resource c: file:///c.txt]",
  ])
})

test("filters, idempotent tools and time-outs", async () => {
  const tools = await list({
    program: "works",
    tools: ["echo", "hangs", "none"],
    idempotentTools: ["echo"],
    timeoutSeconds: 0.2,
  })
  expect(tools.map(({ tool, isIdempotent }) => [tool.name, isIdempotent])).toEqual([
    ["s__echo", true],
    ["s__hangs", false],
  ])
  expect(await call(tools, "hangs")).toEqual({
    output: `The tool failed. Its MCP server did not answer in time. ${unknown}`,
    isError: true,
  })
  expect((await call(tools, "echo", { text: "still there" })).output).toBe("still there")
})

test("one process, in its own environment, until the service stops", async () => {
  const own = makeRuntime()
  const many = await Promise.all([1, 2, 3].map(() => list({ program: "works" }, own)))
  const answers = await Promise.all(many.map((tools) => own.runPromise(invoke(tools, "pid"))))
  const [first] = answers
  expect(answers.map(({ output }) => output)).toEqual(Array.from({ length: 3 }, () => first?.output ?? ""))
  expect(first?.output).toEndWith(" set")
  const pid = Number.parseInt(first?.output ?? "", 10)
  expect(processExists(pid)).toBe(true)
  await own.dispose()
  await eventually(
    () => Promise.resolve(processExists(pid)),
    (exists) => !exists,
  )
})

test("two users share no session and no process", async () => {
  const own = makeRuntime()
  const server = startHttp("sessions")
  const users = [newId(UserId), newId(UserId)]
  const sessionsOf = (from: number) =>
    new Set(server.requests.slice(from).flatMap((headers) => headers.get("mcp-session-id") ?? []))
  const used: Array<ReadonlySet<string>> = []
  for (const user of users) {
    const from = server.requests.length
    const tools = await list({ url: server.url }, own, user)
    expect(await own.runPromise(invoke(tools, "count"))).toMatchObject({ isError: false })
    used.push(sessionsOf(from))
  }
  const [one = new Set(), other = new Set()] = used
  expect([one.size, other.size]).toEqual([1, 1])
  expect(one.isDisjointFrom(other)).toBe(true)
  const pids = await Promise.all(
    users.map(async (user) => {
      const tools = await list({ program: "works" }, own, user)
      return (await own.runPromise(invoke(tools, "pid"))).output
    }),
  )
  expect(new Set(pids).size).toBe(2)
  await own.dispose()
})

test("a program that dies in a call", async () => {
  const own = makeRuntime()
  const tools = await list({ program: "works" }, own)
  const pid = () => own.runPromise(invoke(tools, "pid"))
  const before = await pid()
  expect(await own.runPromise(invoke(tools, "dies"))).toEqual({ output: closed, isError: true })
  const after = await pid()
  expect(after.isError).toBe(false)
  expect(after.output).not.toBe(before.output)
  await own.dispose()
})

// These run side by side, because each waits for seconds.
test.concurrent("programs that cannot be used", async () => {
  expect(await reasonOf({ program: "unknown" })).toBe("program")
  for (const name of ["exit", "missing"]) expect(await reasonOf({ program: name })).toBe("unavailable")
  // Waits a while for the first connection, and never again.
  expect(await reasonOf({ program: "hang" })).toBe("unavailable")
})

test.concurrent("an HTTP server that does not answer at the start", async () => {
  const server = startHttp("sessions")
  const own = makeRuntime()
  server.answer(() => new Promise<never>(() => undefined))
  expect(await reasonOf({ url: server.url }, own)).toBe("unavailable")
  await own.dispose()
})

test.concurrent("a changed list of tools", async () => {
  for (const server of [{ program: "works" }, { url: startHttp("sessions").url }]) {
    const own = makeRuntime()
    const tools = await list(server, own)
    const changing = (tools: ReadonlyArray<RunnableTool>) =>
      tools.find(({ tool }) => tool.name === "s__changing")?.tool
    expect(changing(tools)).toMatchObject({ parameters: { properties: { one: {} } } })
    await own.runPromise(invoke(tools, "change"))
    const later = await eventually(
      () => list(server, own),
      (found) => Option.isSome(changing(found)?.description ?? Option.none()),
    )
    expect(changing(later)).toMatchObject({
      description: Option.some("Version 2"),
      parameters: { properties: { two: {} } },
    })
    await own.dispose()
  }
})

test.each(["sessions", "modern"] as const)("an interruption cancels the call: %s", async (protocol) => {
  const server = startHttp(protocol)
  const tools = await list({ url: server.url })
  const before = server.requests.length
  const fiber = runtime.runFork(invoke(tools, "hangs"))
  await eventually(
    () => Promise.resolve(server.requests.length),
    (count) => count > before,
  )
  await runtime.runPromise(Fiber.interrupt(fiber))
  await server.cancelled
  expect((await call(tools, "echo", { text: "a" })).output).toBe("a")
})

test("calls at the same time", async () => {
  for (const server of [{ program: "works" }, { url: startHttp("sessions").url }]) {
    const tools = await list(server)
    const texts = Array.from({ length: 20 }, (_, index) => `${index}`)
    const found = await Promise.all(texts.map((text) => call(tools, "echo", { text })))
    expect(found.map(({ output }) => output)).toEqual(texts)
  }
})

test("a program that writes other things, too", async () => {
  const tools = await list({ program: "noise" })
  expect((await call(tools, "echo", { text: "a" })).output).toBe("a")
})

test("a result of 1 MB and more", async () => {
  for (const server of [
    { program: "works" },
    { url: startHttp("sessions").url },
    { url: startHttp("json").url },
  ]) {
    const tools = await list({ ...server, timeoutSeconds: 5 })
    expect((await call(tools, "large")).isError).toBe(false)
    const found = await call(tools, "huge")
    expect(found).toMatchObject({ isError: true })
    expect(found.output).toEndWith(unknown)
    expect((await call(tools, "echo", { text: "a" })).output).toBe("a")
  }
})

test("headers with secrets", async () => {
  const server = startHttp("sessions")
  const tools = await list({
    url: `${server.url}?token={{secret:KEY}}`,
    headers: { authorization: "Bearer {{secret:KEY}}" },
  })
  expect(server.requests.every((headers) => headers.get("authorization") === "Bearer k-123456")).toBe(true)
  expect((await call(tools, "echo", { text: "k-123456" })).output).toBe("[secret]")
  expect(await reasonOf({ url: server.url, headers: { a: "{{secret:NONE}}" } })).toBe("secret")
})

test("a server that has forgotten the session gets the call once, in a new one", async () => {
  const server = startHttp("sessions")
  const tools = await list({ url: server.url })
  await call(tools, "count", {}, "before")
  server.forget()
  expect(await call(tools, "count", {}, "after")).toEqual({ output: "after", isError: false })
  expect(server.counted).toEqual(["before", "after"])
})

test.each(["sessions", "json", "modern"] as const)(
  "an HTTP server that dies in a call: %s",
  async (protocol) => {
    const server = startHttp(protocol)
    const tools = await list({ url: server.url })
    const found = await call(tools, "dies")
    expect(found).toMatchObject({ isError: true })
    expect(found.output).toEndWith(unknown)
    const next = await call(tools, "echo", { text: "a" })
    expect(next).toMatchObject({ isError: true })
    expect(next.output).not.toContain("127.0.0.1")
  },
)

test("a stream that ends without the answer", async () => {
  const server = startHttp("sessions")
  const tools = await list({ url: server.url })
  const ends = (body: string) => new Response(body, { headers: { "content-type": "text/event-stream" } })
  for (const body of ["", ": nothing\n\n", 'data: {"jsonrpc":"2.0","method":"notifications/message"}\n\n']) {
    server.answer(() => ends(body))
    expect(await call(tools, "count")).toEqual({ output: closed, isError: true })
    server.answer(undefined)
    expect(await call(tools, "echo", { text: "again" })).toEqual({ output: "again", isError: false })
  }
  expect(server.counted).toEqual([])
})

test("answers that are no MCP", async () => {
  const server = startHttp("sessions")
  const tools = await list({ url: server.url, timeoutSeconds: 2 })
  const json = (body: string, status = 200) =>
    new Response(body, { status, headers: { "content-type": "application/json" } })
  const cases = [
    [
      () => json("no json"),
      `The tool failed. Its MCP server sent something that is not valid MCP. ${unknown}`,
    ],
    [
      () => new Response("page", { headers: { "content-type": "text/html" } }),
      `The tool failed. Its MCP server sent something that is not valid MCP. ${unknown}`,
    ],
    [() => json("{}", 401), "The tool failed. Its MCP server answered with status 401."],
    [() => json("secret details", 500), "The tool failed. Its MCP server answered with status 500."],
  ] as const
  for (const [answer, output] of cases) {
    server.answer(answer)
    expect(await call(tools, "echo", { text: "a" })).toEqual({ output, isError: true })
  }
  server.answer(async (request) => {
    if (request.method !== "POST") return json("{}")
    const { id } = Schema.decodeUnknownSync(Schema.Struct({ id: Schema.Unknown }))(await request.json())
    return json(JSON.stringify({ jsonrpc: "2.0", id, error: { code: -32602, message: "text is missing" } }))
  })
  expect((await call(tools, "echo")).output).toBe(
    "The tool failed. Its MCP server refused the call: text is missing",
  )
})

/** An MCP server that lists these pages of tools. The cursor is the number of the page. `content`: of the results of calls. */
const startLister = (
  pageOf: (page: number) => { readonly tools: unknown; readonly isLast: boolean },
  content?: ReadonlyArray<unknown>,
) => {
  const server = startHttp("json")
  const pages: Array<number> = []
  server.answer(async (request) => {
    if (request.method !== "POST") return new Response("", { status: 405 })
    const { id, method, params } = Schema.decodeUnknownSync(
      Schema.Struct({
        id: Schema.optional(Schema.Unknown),
        method: Schema.String,
        params: Schema.optional(Schema.Struct({ cursor: Schema.optional(Schema.String) })),
      }),
    )(await request.json())
    if (id === undefined) return new Response(null, { status: 202 })
    const answer = (result: object) => Response.json({ jsonrpc: "2.0", id, result })
    if (method === "initialize") {
      const serverInfo = { name: "x", version: "1" }
      return answer({ protocolVersion: "2025-06-18", capabilities: { tools: {} }, serverInfo })
    }
    if (method === "tools/call" && content !== undefined) return answer({ content })
    if (method !== "tools/list") {
      return Response.json({ jsonrpc: "2.0", id, error: { code: -32_601, message: "no" } })
    }
    const page = Number(params?.cursor ?? 1)
    pages.push(page)
    const { tools, isLast } = pageOf(page)
    return answer({ tools, ...(isLast ? {} : { nextCursor: `${page + 1}` }) })
  })
  return { url: server.url, pages }
}

const named = (name: unknown, more: object = {}) => ({ name, inputSchema: { type: "object" }, ...more })
const namesOf = async (url: string) => (await list({ url })).map(({ tool }) => tool.name)

test("a malformed tool takes no other with it", async () => {
  const { url } = startLister(() => ({
    tools: [
      named("a"),
      named(5),
      named(""),
      named("b", { description: 5 }),
      named("c", { inputSchema: null }),
      named("d", { inputSchema: { type: "string" } }),
      named("e", { inputSchema: [] }),
      { name: "f" },
      null,
      "g",
      [],
      named("z", { description: "The last.", title: 7, annotations: "none", outputSchema: 1 }),
    ],
    isLast: true,
  }))
  expect(await namesOf(url)).toEqual(["s__a", "s__z"])
})

test("a list without end is read up to its bounds", async () => {
  const small = startLister((page) => ({ tools: [named(`t${page}`)], isLast: false }))
  expect(await namesOf(small.url)).toHaveLength(16)
  expect(small.pages).toHaveLength(16)

  const many = startLister((page) => ({
    tools: Array.from({ length: 600 }, (_, at) => named(`t${page}_${at}`)),
    isLast: false,
  }))
  expect(await namesOf(many.url)).toHaveLength(128)
  expect(many.pages).toEqual([1, 2])

  const long = startLister((page) => ({
    tools: [named(`t${page}`, { title: "x".repeat(900_000) })],
    isLast: false,
  }))
  expect(await namesOf(long.url)).toEqual(["s__t1", "s__t2"])
  expect(long.pages).toEqual([1, 2, 3])

  const tooLong = startLister(() => ({ tools: [named("t", { title: "x".repeat(3e6) })], isLast: true }))
  expect(await reasonOf({ url: tooLong.url })).toBe("unavailable")
})

test("an HTTP server that cannot be used", async () => {
  const server = startHttp("sessions")
  const inner = server.url.replace("127.0.0.1", "127.0.0.2")
  for (const url of [inner, "https://10.0.0.1/mcp"]) {
    expect(await reasonOf({ url })).toBe("unavailable")
  }
  expect(server.requests).toEqual([])
  server.answer((request) => Response.redirect(inner.replace("/mcp", `/${new URL(request.url).pathname}`)))
  expect(await reasonOf({ url: server.url })).toBe("unavailable")
})

test("MCP_STDIO_SERVERS as a file of another client", async () => {
  const file = join(tempFolder("mcp"), "mcp.json")
  writeFileSync(file, JSON.stringify({ mcpServers: { works: program() } }))
  const own = makeRuntime(file)
  const tools = await list({ program: "works" }, own)
  expect((await own.runPromise(invoke(tools, "pid"))).output).toEndWith(" unset")
  await own.dispose()
  for (const servers of ["no file", '{"a":{}}', "[]", `{"a":{"command":"x","args":"y"}}`]) {
    const wrong = makeRuntime(servers)
    await expect(list({ program: "works" }, wrong)).rejects.toThrow("MCP_STDIO_SERVERS must be JSON")
    await wrong.dispose()
  }
})

test.each([
  ["url", {}],
  ["url", { url: "https://a.test/", program: "b" }],
  ["url", { url: "https://a.test/{b}" }],
  ["url", { url: "ftp://a.test/" }],
  ["url", { url: "https://{{secret:A}}/" }],
  ["name", { name: "a b", url: "https://a.test/" }],
  ["headers.host", { url: "https://a.test/", headers: { host: "b" } }],
] as const)("a fault in %s #%#", (field, definition) => {
  const decode = () => Schema.decodeUnknownSync(McpServer)({ type: "mcp", name: "s", ...definition })
  expect(decode).toThrow()
  try {
    decode()
  } catch (error) {
    for (const part of field.split(".")) expect(`${error}`).toContain(`["${part}"]`)
  }
})

test("a result of wrong parts", async () => {
  const wrong = Array.from({ length: 300_000 }, () => ({}))
  const { url } = startLister(() => ({ tools: [named("a")], isLast: true }), wrong)
  const { output, isError } = await call(await list({ url, maxResultBytes: 100_000 }), "a")
  expect([output.split("\n").length, isError]).toEqual([1001, false])
  expect(output).toStartWith("[content of an unknown type, left out]\n")
})

test("10,000 tools, whose names have spaces or collide", async () => {
  const tools = Array.from({ length: 10_000 }, (_, at) =>
    named(at % 2 === 0 ? `get it ${at}` : `get_it_${at - 1}`),
  )
  const { url } = startLister(() => ({ tools, isLast: true }))
  const names = await namesOf(url)
  expect([names.length, new Set(names).size]).toEqual([128, 128])
  expect(names.slice(0, 2)).toEqual(["s__get_it_0", "s__get_it_2"])
})
