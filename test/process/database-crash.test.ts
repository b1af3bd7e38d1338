import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test"
import { readdirSync, readFileSync, renameSync } from "node:fs"
import { join } from "node:path"
import { Schema } from "effect"
import { serverFolder } from "../../src/db/embedded-home.ts"
import { wav16k } from "../support/audio.ts"
import { cleanUpProcesses, newFolder, type ServiceProcess, startProcess } from "../support/process.ts"
import { until } from "../support/turns.ts"
import { startUpstream, type Upstream } from "../support/upstream.ts"

/** The embedded database dies while the service runs, and the service recovers. */
const cwd = newFolder()
const cluster = `${serverFolder(join(cwd, ".data"))}/postgres/cluster`
let upstream: Upstream
let service: ServiceProcess
let api = ""
let key = ""
let recording: Uint8Array = new Uint8Array()

const Registered = Schema.Struct({ apiKey: Schema.String })

beforeAll(async () => {
  upstream = await startUpstream()
  recording = await wav16k()
  service = startProcess({
    cwd,
    env: { NODE_ENV: "production", OPENAI_API_KEY: "sk-test", OPENAI_BASE_URL: upstream.baseUrl },
  })
  api = `${await service.url()}/api/v1`
  const answer = await fetch(`${api}/users/register`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ email: "ada@example.com" }),
  })
  key = Schema.decodeUnknownSync(Registered)(await answer.json()).apiKey
})
beforeEach(() => upstream.reset())
afterAll(async () => {
  service.signal("SIGTERM")
  expect(await service.ended).toBe(0)
  await cleanUpProcesses()
  await upstream.stop()
})

const get = async (path: string) =>
  (await fetch(`${api}${path}`, { headers: { authorization: `Bearer ${key}` } })).status
const converse = (accept = "application/json") => {
  const form = new FormData()
  form.append("audio", new Blob([recording]))
  return fetch(`${api}/voice/conversation`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, accept },
    body: form,
  })
}
const serverPid = () => Number.parseInt(readFileSync(`${cluster}/postmaster.pid`, "utf8"), 10)

/** The PostgreSQL processes that serve the service's connections. */
const backends = () =>
  readdirSync("/proc")
    .filter(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith("postgres: voice_agent voice_agent")
      } catch {
        return false
      }
    })
    .filter((pid) => new RegExp(`\\) [SRD] ${serverPid()} `).test(readFileSync(`/proc/${pid}/stat`, "utf8")))

/** In ms, on a busy machine. */
const restart = 20_000

const events = (name: string) => service.records().filter(({ event }) => event === name)

test("killed during a turn: 503, then recovers", async () => {
  upstream.script("llm", [{ delayMs: 200 }])
  const turn = converse()
  await upstream.waitFor(() => upstream.calls("llm")[0])
  // Keeps it stopped until the failure was seen.
  renameSync(`${cluster}/global`, `${cluster}/elsewhere`)
  process.kill(serverPid(), "SIGKILL")
  await until(async () => (await get("/sessions")) === 503, "the database to be missed")
  await until(async () => (await get("/ready")) === 503, "the service not to be ready")
  expect(await get("/health")).toBe(200)
  expect((await turn).status).toBe(503)
  expect((await converse()).status).toBe(503)
  renameSync(`${cluster}/elsewhere`, `${cluster}/global`)
  await until(async () => (await get("/ready")) === 200, "the database to be back", restart)
  expect(await get("/sessions")).toBe(200)
  expect((await converse()).status).toBe(200)
  expect(events("database.ended")).toMatchObject([{ level: "warn", pid: expect.any(Number) }])
  expect(events("database.ready")).toMatchObject([{}, { adopted: false }])
}, 60_000)

test.if(process.platform === "linux")(
  "a backend killed during a turn: the turn is saved",
  async () => {
    upstream.script("llm", [{ delayMs: 200 }])
    const before = serverPid()
    const turn = converse()
    await upstream.waitFor(() => upstream.calls("llm")[0])
    process.kill(Number(backends()[0]), "SIGKILL")
    expect([200, 503]).toContain((await turn).status)
    await until(async () => (await get("/sessions")) === 200, "the database to be back", restart)
    expect((await converse()).status).toBe(200)
    expect(serverPid()).toBe(before)
  },
  60_000,
)

test("the heard part is saved after the restart", async () => {
  upstream.script("llm", [{ text: "This is heard to its end. And this is not." }])
  upstream.script("tts", [{ seconds: 0.2 }, { seconds: 0.2, delayMs: 300 }])
  const answer = await converse("audio/mpeg")
  const sessionId = answer.headers.get("x-session-id")
  process.kill(serverPid(), "SIGKILL")
  await answer.bytes().catch(() => undefined)
  const saved = async () => {
    const path = `/sessions/${sessionId}/messages`
    const asked = await fetch(`${api}${path}`, { headers: { authorization: `Bearer ${key}` } })
    return asked.status === 200 ? await asked.json() : undefined
  }
  expect(await until(saved, "the turn to be saved", restart)).toMatchObject({
    messages: [{ role: "user" }, { role: "assistant" }],
  })
}, 60_000)
