import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { readdirSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { join } from "node:path"
import { Schema } from "effect"
import { serverFolder } from "../../src/db/embedded-home.ts"
import { wav16k } from "../support/audio.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { decode } from "../support/ffmpeg.ts"
import { multipart, multipartType } from "../support/multipart.ts"
import {
  cleanUpProcesses,
  mainFile,
  newFolder,
  type ProcessOptions,
  parseLog,
  sourceFile,
  startProcess,
} from "../support/process.ts"
import { connectRaw, head } from "../support/raw-http.ts"
import { fail, startUpstream, type Upstream } from "../support/upstream.ts"

let database: TestDatabase
let upstream: Upstream
beforeAll(async () => {
  database = await makeDatabase()
  upstream = await startUpstream()
})
beforeEach(() => upstream.reset())
afterAll(async () => {
  await cleanUpProcesses()
  await upstream.stop()
  await database.drop()
})

/** Starts the service with the scripted upstream and JSON on its console. */
const start = ({ env, ...rest }: ProcessOptions = {}) =>
  startProcess({
    env: {
      NODE_ENV: "production",
      DATABASE_URL: database.url,
      OPENAI_API_KEY: "sk-test",
      OPENAI_BASE_URL: upstream.baseUrl,
      ...env,
    },
    ...rest,
  })

const Registered = Schema.Struct({ apiKey: Schema.String })

const register = async (url: string): Promise<string> => {
  const answer = await fetch(`${url}/api/v1/users/register`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ email: `${crypto.randomUUID()}@example.com` }),
  })
  return Schema.decodeUnknownSync(Registered)(await answer.json()).apiKey
}

const converse = async (url: string, key: string) => {
  const form = new FormData()
  form.append("audio", new Blob([await wav16k()]))
  return fetch(`${url}/api/v1/voice/conversation`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}` },
    body: form,
  })
}

const freePort = async (): Promise<string> => {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() })
  const { port } = server
  await server.stop(true)
  return `${port}`
}

/** The living processes with the folder in their arguments. */
const processesOf = async (folder: string): Promise<ReadonlyArray<string>> => {
  const list = await Bun.spawn(["ps", "-eo", "pid=,args=", "-ww"]).stdout.text()
  return list.split("\n").filter((line) => line.includes(folder))
}

describe.each(["SIGTERM", "SIGINT"] as const)("%s", (signal) => {
  test("finishes the running turn, accepts no more, exits with 0", async () => {
    upstream.script("stt", [{ delayMs: 300 }])
    upstream.script("llm", [{ text: "One moment. Here it is!" }])
    upstream.script("tts", [{ chunkBytes: 4000, chunkDelayMs: 20 }])
    const service = start({ env: { SHUTDOWN_TIMEOUT_SECONDS: "600" } })
    const url = await service.url()
    const key = await register(url)
    const turn = converse(url, key)
    await upstream.waitFor(() => upstream.calls("stt")[0], "the turn")
    service.signal(signal)
    await service.says(/"event":"server.stopping"/)
    await expect(fetch(`${url}/api/v1/health`)).rejects.toThrow("connect")

    const answer = await turn
    expect(answer.status).toBe(200)
    // No other request is sent on this connection, which ends with the response.
    expect(answer.headers.get("connection")).toBe("close")
    const heard = await decode(await answer.bytes(), { from: "pipe" })
    expect(heard.log).toBe("")
    expect(await service.ended).toBe(0)
    const saved = await database.sql`select role, content from messages
      where session_id = ${answer.headers.get("x-session-id")} order by role desc`
    expect([...saved]).toMatchObject([
      { role: "user" },
      { role: "assistant", content: "One moment. Here it is!" },
    ])
    expect(service.records().at(-1)).toMatchObject({ event: "server.stopped", level: "info" })
    expect(service.stderr()).toBe("")
  })
})

test("keep-alive connections are closed, not reset", async () => {
  upstream.script("stt", [{ delayMs: 300 }])
  const service = start({ env: { SHUTDOWN_TIMEOUT_SECONDS: "600" } })
  const url = await service.url()
  const key = await register(url)
  const [idle, busy] = [await connectRaw(url), await connectRaw(url)]
  for (const client of [idle, busy]) {
    await client.send(head("GET /api/v1/health"))
    const answer = await client.answer()
    expect([answer.status, answer.headers.get("connection")]).toEqual([200, null])
  }
  const body = multipart([{ name: "audio", filename: "a.wav", content: await wav16k() }])
  const headers = { "content-type": multipartType, "content-length": `${body.length}` }
  await busy.send(head("POST /api/v1/voice/conversation", { authorization: `Bearer ${key}`, ...headers }))
  await busy.send(body)
  await upstream.waitFor(() => upstream.calls("stt")[0], "the turn")
  service.signal("SIGTERM")
  await service.says(/"event":"server.stopping"/)
  expect(await idle.answer()).toMatchObject({ status: 0, whole: false })
  const answer = await busy.answer()
  expect([answer.status, answer.whole, answer.headers.get("connection")]).toEqual([200, true, "close"])
  await busy.send(head("GET /api/v1/health"))
  expect(await busy.answer()).toMatchObject({ status: 0 })
  expect(await service.ended).toBe(0)
})

test("idle connections do not delay the exit", async () => {
  const service = start({ env: { SHUTDOWN_TIMEOUT_SECONDS: "600" } })
  const url = await service.url()
  const silent = await open(url)
  const keptAlive = await open(url)
  keptAlive.write("GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
  await service.says(/"event":"request.completed"/)
  service.signal("SIGTERM")
  expect(await service.ended).toBe(0)
  expect(service.stdout()).not.toContain("shutdown.requests_aborted")
  for (const socket of [silent, keptAlive]) socket.destroy()
})

/** A connection that sends nothing. */
const open = async (url: string): Promise<Socket> => {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  socket.on("error", () => undefined)
  const connected = Promise.withResolvers<void>()
  socket.once("connect", connected.resolve)
  await connected.promise
  return socket
}

describe("a turn that hangs", () => {
  const stuck = async (env: Record<string, string>) => {
    upstream.script("stt", [fail.hang()])
    const temporary = newFolder()
    const service = start({ env: { TMPDIR: temporary, ...env } })
    const url = await service.url()
    const key = await register(url)
    const turn = converse(url, key).then(
      ({ status }) => status,
      () => "broken off",
    )
    await upstream.waitFor(() => upstream.calls("stt")[0], "the turn")
    const nothingLeft = async () => {
      expect(await turn).toBe("broken off")
      expect(await service.ended).toBe(0)
      expect(service.records().find(({ event }) => event === "shutdown.requests_aborted")).toMatchObject({
        level: "warn",
        requests: 1,
      })
      expect(service.records().at(-1)).toMatchObject({ event: "server.stopped" })
      await upstream.waitFor(() => upstream.openCalls() === 0, "the end of the turn's request")
      expect(upstream.calls("stt")[0]?.outcome).toBe("aborted by client")
      expect(readdirSync(temporary)).toEqual([])
      expect([
        ...(await database.sql`select * from messages m join sessions s on s.id = m.session_id
        join api_keys k on k.user_id = s.user_id where k.key_hash = ${new Bun.CryptoHasher("sha256").update(key).digest("hex")}`),
      ]).toEqual([])
    }
    return { service, nothingLeft }
  }

  test("is aborted after SHUTDOWN_TIMEOUT_SECONDS", async () => {
    const { service, nothingLeft } = await stuck({ SHUTDOWN_TIMEOUT_SECONDS: "0.3" })
    service.signal("SIGTERM")
    await nothingLeft()
  })

  test("is aborted by a second signal", async () => {
    const { service, nothingLeft } = await stuck({ SHUTDOWN_TIMEOUT_SECONDS: "600" })
    service.signal("SIGINT")
    await service.says(/"event":"server.stopping"/)
    let ended = false
    const end = service.ended.then(() => {
      ended = true
    })
    // Signals within a moment count as one signal.
    while (!ended) {
      service.signal("SIGINT")
      await Promise.race([end, Bun.sleep(100)])
    }
    await nothingLeft()
  })
})

describe("with the embedded database", () => {
  const cwd = newFolder()
  const cluster = `${serverFolder(join(cwd, ".data"))}/postgres/cluster`
  const embedded = (env: Record<string, string> = {}, args = [mainFile]) =>
    start({ cwd, args, env: { DATABASE_URL: "", LOG_DIR: "logs", ...env } })
  const signIn = async (url: string, apiKey: string) => {
    const answer = await fetch(`${url}/api/v1/auth/login`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ apiKey }),
    })
    return answer.status
  }
  test("a stop during the first start leaves no process", async () => {
    const early = embedded()
    while (!readdirSync(cwd).includes("logs")) await Bun.sleep(1)
    early.signal("SIGTERM")
    expect(await early.ended).toBe(0)
    expect(early.stderr()).toBe("")
    expect(await processesOf(serverFolder(join(cwd, ".data")))).toEqual([])

    const next = embedded()
    await next.url()
    next.signal("SIGINT")
    expect(await next.ended).toBe(0)
    expect(await processesOf(cluster)).toEqual([])
    // The log files have every line of the console.
    const file = parseLog(await Bun.file(join(cwd, "logs/combined.log")).text())
    expect(file).toEqual([...early.records(), ...next.records()])
    expect(file.at(-1)).toMatchObject({ event: "server.stopped" })
  }, 60_000)

  test("a start after kill -9 adopts the database", async () => {
    const first = embedded()
    const key = await register(await first.url())
    first.signal("SIGKILL")
    expect(await first.ended).toBe("SIGKILL")
    expect(await processesOf(cluster)).not.toEqual([])

    const second = embedded()
    expect(await signIn(await second.url(), key)).toBe(200)
    expect(second.records()).toContainEqual(
      expect.objectContaining({ event: "database.ready", adopted: true }),
    )
    second.signal("SIGTERM")
    expect(await second.ended).toBe(0)
    expect(await processesOf(cluster)).toEqual([])
  }, 60_000)

  test("bun --watch restarts on the same port and database", async () => {
    const [watched, part] = [join(cwd, "watched.ts"), join(cwd, "part.ts")]
    await Bun.write(part, "export {}")
    await Bun.write(watched, `import ${JSON.stringify(part)}\nimport ${JSON.stringify(sourceFile)}\n`)
    const service = embedded({ PORT: await freePort() }, ["--watch", "--no-clear-screen", watched])
    const url = await service.url()
    const key = await register(url)
    await Bun.write(part, "// changed")
    await service.says(/"event":"server.listening"/, 2)
    // A change may be noticed twice; the second restart then ends the first.
    const signedIn = () => signIn(url, key).catch(() => "starting again")
    while ((await signedIn()) !== 200) await Bun.sleep(10)
    service.signal("SIGINT")
    expect(await service.ended).toBe(0)
    expect(await processesOf(cluster)).toEqual([])
  }, 60_000)
})
