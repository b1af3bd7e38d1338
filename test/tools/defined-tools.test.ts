import { afterAll, beforeAll, expect, test } from "bun:test"
import { randomBytes } from "node:crypto"
import * as BunContext from "@effect/platform-bun/BunContext"
import {
  ConfigProvider,
  Effect,
  Either,
  Layer,
  ManagedRuntime,
  Option,
  ParseResult,
  Redacted,
  Schema,
} from "effect"
import { Secrets } from "../../src/accounts/secrets.ts"
import { Users } from "../../src/accounts/users.ts"
import { Settings } from "../../src/config.ts"
import { Encryption } from "../../src/db/encryption.ts"
import * as Postgres from "../../src/db/postgres.ts"
import { newId, SessionId, TurnId, UserId } from "../../src/schema.ts"
import { DefinedTools, ToolDefinition } from "../../src/tools/defined-tools.ts"
import type { RunnableTool } from "../../src/tools/runnable.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { startMcpHttpServer } from "../support/mcp-http-server.ts"
import { startToolServer, type ToolServer } from "../support/tool-server.ts"

const makeRuntime = (database: TestDatabase) =>
  ManagedRuntime.make(
    Layer.provideMerge(DefinedTools.layer, Layer.merge(Secrets.layer, Users.layer)).pipe(
      Layer.provide(Layer.merge(Encryption.layer, Postgres.layer)),
      Layer.provide(Settings.layer),
      Layer.provide(BunContext.layer),
      Layer.provide(
        Layer.setConfigProvider(
          ConfigProvider.fromMap(
            new Map(
              Object.entries({
                DATABASE_URL: database.url,
                ENCRYPTION_KEY: randomBytes(32).toString("base64"),
                OUTBOUND_ALLOWED_NETWORKS: "127.0.0.1",
                LOG_DIR: "",
              }),
            ),
          ),
        ),
      ),
    ),
  )

let database: TestDatabase
let runtime: ReturnType<typeof makeRuntime>
let server: ToolServer
beforeAll(async () => {
  database = await makeDatabase()
  runtime = makeRuntime(database)
  server = await startToolServer((out, { headers }) => out.end(headers.authorization ?? "none"))
})
afterAll(async () => {
  await runtime.dispose()
  await server.stop()
  await database.drop()
})

const decode = Schema.decodeUnknownSync(Schema.Array(ToolDefinition))

const newUser = () =>
  runtime.runPromise(Effect.flatMap(Users, ({ register }) => register(`${crypto.randomUUID()}@example.com`)))

const toolsOf = (owner: UserId, definitions: ReadonlyArray<unknown>) =>
  runtime.runPromise(Effect.flatMap(DefinedTools, ({ of }) => of(owner, decode(definitions))))

const http = (name: string, more: object = {}) => ({ type: "http", name, url: server.url, ...more })

test("HTTP tools and MCP servers, in order, each name once", async () => {
  const mcp = startMcpHttpServer({ protocol: "sessions" })
  const { userId } = await newUser()
  const tools = await toolsOf(userId, [
    http("first"),
    { type: "mcp", name: "mcp", url: mcp.url, tools: ["echo", "count"] },
    http("mcp__echo"),
    http("first", { method: "POST" }),
    { type: "mcp", name: "gone", url: "https://10.0.0.1/" },
    { type: "mcp", name: "program", program: "unknown", tools: ["read", "write"] },
    http("last"),
  ])
  expect(tools.map(({ tool }) => tool.name)).toEqual([
    "first",
    "mcp__echo",
    "mcp__count",
    // In the place of what cannot be used.
    "gone__unavailable",
    "program__read",
    "program__write",
    "last",
  ])
  await mcp.stop()
})

const run = (tool: RunnableTool | undefined) =>
  runtime.runPromise(
    tool?.run({
      callId: "call_1",
      idempotencyKey: "key-1",
      arguments: {},
      // Whoever talks to the agent: its owner's secret counts.
      userId: newId(UserId),
      sessionId: newId(SessionId),
      turnId: newId(TurnId),
    }) ?? Effect.die("no tool"),
  )

const faultOf = (owner: UserId, definition: unknown, connects = true) =>
  runtime.runPromise(
    Effect.flatMap(DefinedTools, ({ fault }) =>
      Effect.map(
        Effect.forEach(decode([definition]), (one) => fault(owner, one, connects)),
        ([found]) => Option.getOrElse(Option.flatten(Option.fromNullable(found)), () => "none"),
      ),
    ),
  )

test("what cannot be used says why, to the owner and to the model", async () => {
  const mcp = startMcpHttpServer({ protocol: "json" })
  const { userId } = await newUser()
  const secret = "The tool needs the secret KEY. Its owner has to set it."
  const toSet = "The tool needs the secret KEY. Set it with PUT /users/me/secrets/KEY."
  const headers = { authorization: "Bearer {{secret:KEY}}" }
  const unavailable = "Its MCP server cannot be used right now."
  const gone = startMcpHttpServer({ protocol: "json" })
  await gone.stop()
  const cases = [
    [{ type: "mcp", name: "m", url: mcp.url, headers }, secret, toSet],
    [{ type: "mcp", name: "m", url: `${mcp.url}?key={{secret:KEY}}` }, secret, toSet],
    [{ type: "mcp", name: "m", url: "https://10.0.0.1/" }, unavailable, "OUTBOUND_ALLOWED_NETWORKS"],
    [{ type: "mcp", name: "m", url: http("a").url }, unavailable, "sent something that is not valid MCP"],
    [{ type: "mcp", name: "m", url: gone.url }, unavailable, "The server cannot be reached."],
    [
      { type: "mcp", name: "m", url: "https://a.invalid/" },
      unavailable,
      "The name of the server is unknown.",
    ],
    [{ type: "mcp", name: "m", program: "unknown" }, unavailable, "has no MCP server called unknown"],
  ] as const
  for (const [definition, reason, fault] of cases) {
    expect(await faultOf(userId, definition)).toContain(fault)
    expect(await faultOf(userId, definition, false)).toBe(fault === toSet ? toSet : "none")
    const [tool] = await toolsOf(userId, [definition])
    expect(tool).toMatchObject({ kind: "mcp", isOptional: true, standsFor: "m__" })
    expect(await run(tool)).toEqual({ output: `The tool failed. ${reason}`, isError: true })
  }
  expect(await faultOf(userId, http("a", { headers }))).toBe(toSet)
  expect(await faultOf(userId, http("a"))).toBe("none")
  expect(await faultOf(userId, { type: "mcp", name: "m", url: mcp.url })).toBe("none")
  expect(await faultOf(userId, { type: "mcp", name: "m", url: mcp.url, tools: ["echoo", "echo"] })).toMatch(
    /^Its MCP server has no tool called echoo. It has .*\becho\b/,
  )
  await mcp.stop()
})

test("secrets of the owner, as they are at the call", async () => {
  const { userId } = await newUser()
  const [tool] = await toolsOf(userId, [http("a", { headers: { authorization: "Bearer {{secret:KEY}}" } })])
  const call = () => run(tool)
  const before = server.requests.length
  const put = (value: string) =>
    runtime.runPromise(Effect.flatMap(Secrets, ({ put }) => put(userId, "KEY", Redacted.make(value))))
  expect(await call()).toMatchObject({
    isError: true,
    output: expect.stringContaining("needs the secret KEY"),
  })
  await put("one-123456")
  await call()
  await put("two-123456")
  expect(await call()).toEqual({ output: "Bearer [secret]", isError: false })
  expect(server.requests.slice(before).map(({ headers }) => headers.authorization)).toEqual([
    "Bearer one-123456",
    "Bearer two-123456",
  ])
})

test.each([
  ["0.url", { type: "http", name: "a", url: "ftp://a.test/" }],
  ["0.program", { type: "mcp", name: "a", program: "" }],
  ["0.type", { type: "other", name: "a" }],
  ["0.headers.host", { type: "mcp", name: "a", url: "https://a.test/", headers: { host: "b" } }],
])("a fault names its field: %s", (path, definition) => {
  const decoded = Schema.decodeUnknownEither(Schema.Array(ToolDefinition), { errors: "all" })([definition])
  const issues = Either.match(decoded, {
    onLeft: ParseResult.ArrayFormatter.formatErrorSync,
    onRight: () => [],
  })
  expect(issues.map((issue) => issue.path.join("."))).toEqual([path])
})
