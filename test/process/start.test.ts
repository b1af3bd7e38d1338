import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { mkdirSync, symlinkSync } from "node:fs"
import { connect, createServer } from "node:net"
import { join } from "node:path"
import { ConfigProvider, Effect, Fiber, Layer, Option, TestClock, TestContext } from "effect"
import { migrationsOnly } from "../../src/app.ts"
import { runCommand, runProcess, stopCommands } from "../support/commands.ts"
import { makeDatabase, makeEmptyDatabase, type TestDatabase } from "../support/database.ts"
import { cleanUpProcesses, mainFile, newFolder, sourceFile, startProcess } from "../support/process.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await makeDatabase()
})
afterAll(async () => {
  await stopCommands()
  await cleanUpProcesses()
  await database.drop()
})

/** Expects a failed start: one line on stderr, exit code 1. */
const refusal = async (env: Record<string, string>, start = runCommand) => {
  // As `src/main.ts` without an argument.
  const { code, stderr } = await start([], { env: { DATABASE_URL: database.url, ...env } })
  expect(code).toBe(1)
  expect(stderr.trimEnd().split("\n")).toHaveLength(1)
  expect(stderr).not.toContain("    at ")
  return stderr.trimEnd()
}

describe("a start fails with one line", () => {
  test("for invalid settings: all of them, without secrets", async () => {
    const said = await refusal({
      PORT: "http",
      LOG_LEVEL: "loud",
      DATABASE_URL: "postgres//voice:hush@localhost/voice",
      OPENAI_API_KEY: "sk-hush\nX-Forged: 1",
      TTS_BASE_URL: "voice:hush@localhost",
    })
    expect(said).toContain('PORT must be a whole number from 0 to 65535, but it is "http".')
    expect(said).toContain("LOG_LEVEL must be one of debug, info, warn, error, none")
    expect(said).toContain("DATABASE_URL must be postgres://user:password@host:5432/database")
    expect(said).toContain("OPENAI_API_KEY must be")
    expect(said).toContain("TTS_BASE_URL must be a URL")
    expect(said).not.toContain("hush")
  })

  test("in production without a provider", async () => {
    expect(await refusal({ NODE_ENV: "production", OPENAI_API_KEY: "" })).toContain(
      "OPENAI_API_KEY must be set",
    )
  })

  test("for a port in use", async () => {
    const first = startProcess({ env: { DATABASE_URL: database.url } })
    const url = await first.url()
    const { port } = new URL(url)
    expect(await refusal({ PORT: port }, runProcess)).toContain(
      `http://127.0.0.1:${port} could not be opened`,
    )
    expect((await fetch(`${url}/api/v1/health`)).status).toBe(200)
    first.signal("SIGTERM")
    expect(await first.ended).toBe(0)
  })

  test("for an address of another machine", async () => {
    expect(await refusal({ HOST: "192.0.2.1" })).toContain("set PORT or HOST to another")
  })

  test("without ffmpeg", async () => {
    const said = await refusal({ FFMPEG_PATH: "/no/ffmpeg", OPENAI_API_KEY: "sk-test" })
    expect(said).toContain('There is no ffmpeg at "/no/ffmpeg"')
  })

  test("with a broken ffmpeg", async () => {
    const said = await refusal({ FFMPEG_PATH: Bun.which("true") ?? "true", OPENAI_API_KEY: "sk-test" })
    expect(said).toMatch(/did not start\. The ffmpeg at "\S+" does not run here: .* set FFMPEG_PATH\.$/)
  })

  test("for a wrong password or database, at once", async () => {
    const [password, name] = [new URL(database.url), new URL(database.url)]
    password.password = "hush"
    name.pathname = "/nowhere"
    const said = await Promise.all([password, name].map((url) => refusal({ DATABASE_URL: url.href })))
    expect(said[0]).toContain("check the user, password and database name in DATABASE_URL")
    expect(said[0]).not.toContain("hush")
    expect(said[1]).toContain('"nowhere" does not exist')
  })

  test("for a database that is unreachable for 30 s", async () => {
    const gate = await startGate("127.0.0.1", 1)
    const settings = ConfigProvider.fromMap(
      new Map([
        ["DATABASE_URL", `postgres://voice:hush@127.0.0.1:${gate.port}/voice`],
        ["LOG_LEVEL", "none"],
        ["LOG_DIR", ""],
      ]),
    )
    const said = Effect.gen(function* () {
      const start = yield* Effect.fork(Effect.flip(Layer.build(migrationsOnly)))
      yield* Effect.promise(() => gate.refused)
      for (let second = 0; second < 29; second++) {
        yield* TestClock.adjust("1 second")
        yield* settle
      }
      expect(yield* Fiber.poll(start)).toEqual(Option.none())
      yield* Effect.fork(Effect.forever(Effect.zipRight(TestClock.adjust("1 second"), settle)))
      return yield* Fiber.join(start)
    })
    const message = await said.pipe(
      Effect.provide(Layer.merge(TestContext.TestContext, Layer.setConfigProvider(settings))),
      Effect.scoped,
      Effect.runPromise,
    )
    expect(`${message}`).toContain("The database did not answer within 30 s")
    expect(`${message}`).toContain("check DATABASE_URL")
    expect(`${message}`).not.toContain("hush")
    gate.stop()
  })

  test("for log files that cannot be written", async () => {
    const file = join(newFolder(), "logs")
    await Bun.write(file, "a file, where the folder should be")
    const folder = newFolder()
    mkdirSync(join(folder, "error.log"))
    const said = await Promise.all([file, folder].map((logs) => refusal({ LOG_DIR: logs })))
    expect(said[0]).toContain(`${file}/combined.log cannot be written`)
    expect(said[0]).toContain("set LOG_DIR to another folder")
    expect(said[1]).toContain(`${folder}/error.log cannot be written`)
  })
})

describe("a start", () => {
  test("logs its address, in production as JSON", async () => {
    const service = startProcess({
      args: [sourceFile],
      env: { NODE_ENV: "production", OFFLINE_ENGINES: "on", DATABASE_URL: database.url },
    })
    const url = await service.url()
    expect((await fetch(`${url}/api/v1/ready`)).status).toBe(200)
    service.signal("SIGTERM")
    expect(await service.ended).toBe(0)
    expect(service.records().filter(({ event }) => event === "server.listening")).toEqual([
      { time: expect.any(String), level: "info", event: "server.listening", url },
    ])
    expect(service.stderr()).toBe("")
  })

  test("warns once without prlimit", async () => {
    const bin = newFolder()
    symlinkSync(Bun.which("ffmpeg") ?? "", join(bin, "ffmpeg"))
    const env = { NODE_ENV: "production", OFFLINE_ENGINES: "on", DATABASE_URL: database.url, PATH: bin }
    const service = startProcess({ env })
    await service.url()
    service.signal("SIGTERM")
    expect(await service.ended).toBe(0)
    expect(service.records().filter(({ event }) => event === "ffmpeg.unsandboxed")).toHaveLength(1)
  })

  test("waits for its database", async () => {
    const { hostname, port } = new URL(database.url)
    const proxy = await startGate(hostname, Number(port))
    const url = new URL(database.url)
    url.hostname = "127.0.0.1"
    url.port = `${proxy.port}`
    const service = startProcess({ env: { DATABASE_URL: url.href, OPENAI_API_KEY: "sk-test" } })
    await proxy.refused
    proxy.open()
    const answer = await fetch(`${await service.url()}/api/v1/ready`)
    expect(await answer.json()).toMatchObject({ status: "ready", checks: { database: { status: "ok" } } })
    service.signal("SIGTERM")
    expect(await service.ended).toBe(0)
    proxy.stop()
  })

  test("can be stopped while it waits for its database", async () => {
    const gate = await startGate("127.0.0.1", 1)
    const service = startProcess({
      env: { DATABASE_URL: `postgres://voice@127.0.0.1:${gate.port}/voice`, OPENAI_API_KEY: "sk-test" },
    })
    await gate.refused
    service.signal("SIGTERM")
    expect(await service.ended).toBe(0)
    expect(service.stderr()).toBe("")
    gate.stop()
  })

  test("reads .env; the environment overrides it", async () => {
    const cwd = newFolder()
    await Bun.write(
      join(cwd, ".env"),
      `# copied from the example\nDATABASE_URL=${database.url}\nLOG_LEVEL=loud\nSTT_LANGUAGE=\nNODE_ENV=production\n`,
    )
    const environment = { LOG_LEVEL: "info" }
    const args = [mainFile]
    const wrong = startProcess({ cwd, args })
    const keyless = startProcess({ cwd, args, env: environment })
    const right = startProcess({
      cwd,
      env: { ...environment, NODE_ENV: "test" },
      args: [mainFile, "migrate"],
    })
    expect(await Promise.all([wrong.ended, keyless.ended, right.ended])).toEqual([1, 1, 0])
    expect(wrong.stderr()).toContain(
      'LOG_LEVEL must be one of debug, info, warn, error, none, but it is "loud"',
    )
    expect(keyless.stderr()).toContain("OPENAI_API_KEY must be set")
  })
})

test("migrate updates the schema and exits, twice", async () => {
  const empty = await makeEmptyDatabase()
  const migrate = async () => {
    const migration = startProcess({ env: { DATABASE_URL: empty.url }, args: [mainFile, "migrate"] })
    expect(await migration.ended).toBe(0)
    expect(migration.stderr()).toBe("")
    return migration.stdout()
  }
  expect(await migrate()).toContain("0001_initial_schema")
  expect([...(await empty.sql`select * from users`)]).toEqual([])
  const second = await migrate()
  expect(second).not.toContain("0001_initial_schema")
  expect(second).toContain("migration.completed")
  await empty.drop()
})

test("--help prints the usage with invalid settings", async () => {
  const help = startProcess({ env: { PORT: "wrong" }, args: [mainFile, "--help"] })
  expect(await help.ended).toBe(0)
  expect(help.stdout()).toContain("migrate")
  expect(help.stderr()).toBe("")
})

/** Waits in real time until a refused connection is noticed. */
const settle = Effect.promise(() => Bun.sleep(10))

/** A proxy that drops every connection until it is opened. */
const startGate = async (host: string, port: number) => {
  let isOpen = false
  const refused = Promise.withResolvers<void>()
  const server = createServer((client) => {
    client.on("error", () => undefined)
    if (!isOpen) {
      client.destroy()
      return refused.resolve()
    }
    const upstream = connect(port, host)
    upstream.on("error", () => client.destroy())
    client.on("close", () => upstream.destroy())
    upstream.on("close", () => client.destroy())
    client.pipe(upstream)
    upstream.pipe(client)
  })
  const listening = Promise.withResolvers<void>()
  server.listen(0, "127.0.0.1", listening.resolve)
  await listening.promise
  const address = server.address()
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    /** Resolves with the first dropped connection. */
    refused: refused.promise,
    open: () => {
      isOpen = true
    },
    stop: () => server.close(),
  }
}

test.each([
  [{ LLM_BASE_URL: "http://127.0.0.1:1/v1" }, "stt,tts", ["hearing", "speaking"], false],
  [{ STT_BASE_URL: "http://127.0.0.1:1/v1" }, "llm,tts", ["thinking", "speaking"], true],
])(
  "the log names the engines of the offline stages alone: %j",
  async (given, stages, named, asksForOllama) => {
    const service = startProcess({
      env: { DATABASE_URL: database.url, NODE_ENV: "production", OFFLINE_ENGINES: "on", ...given },
    })
    await service.url()
    const line = service.records().find(({ event }) => event === "provider.offline")
    expect(line).toMatchObject({ level: "warn", stages })
    const engines = ["hearing", "thinking", "speaking"].filter((name) => line?.[name] !== undefined)
    expect(engines).toEqual(named)
    expect(`${line?.hint}`.includes("Ollama")).toBe(asksForOllama)
    service.signal("SIGTERM")
    expect(await service.ended).toBe(0)
  },
)
