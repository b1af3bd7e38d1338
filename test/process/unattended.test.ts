import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test"
import { wav16k } from "../support/audio.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { decode } from "../support/ffmpeg.ts"
import { cleanUpProcesses, newFolder, startProcess } from "../support/process.ts"
import { startTurns, type TurnService } from "../support/turns.ts"
import { DEFAULT_REPLY, fail, startUpstream, type Upstream } from "../support/upstream.ts"

/** A process that ends during a turn, and a service that stays, on one database. */
let database: TestDatabase
let upstream: Upstream
let staying: TurnService
let user = ""
let key = ""
let recording: Uint8Array = new Uint8Array()
beforeAll(async () => {
  database = await makeDatabase()
  upstream = await startUpstream()
  staying = await startTurns({ database })
  user = await staying.register()
  recording = await wav16k()
})
beforeEach(() => {
  upstream.reset()
  staying.reset()
  key = crypto.randomUUID()
})
afterEach(() => staying.nothingLeft())
afterAll(async () => {
  await cleanUpProcesses()
  await upstream.stop()
  await staying.stop()
  await database.drop()
})

/** The process's own TMPDIR, outside the folder that the other service cleans up. */
const folder = newFolder()

/** A process that runs a turn whose client has disconnected. */
const unattended = async (env: Record<string, string> = {}) => {
  const service = startProcess({
    cwd: folder,
    env: {
      TMPDIR: folder,
      NODE_ENV: "production",
      DATABASE_URL: database.url,
      OPENAI_API_KEY: "sk-test",
      OPENAI_BASE_URL: upstream.baseUrl,
      ...env,
    },
  })
  const url = await service.url()
  const form = new FormData()
  form.append("audio", new Blob([recording]))
  const leaving = new AbortController()
  const left = fetch(`${url}/api/v1/voice/conversation`, {
    method: "POST",
    headers: { authorization: `Bearer ${user}`, "idempotency-key": key },
    body: form,
    signal: leaving.signal,
  }).catch(() => "left")
  await upstream.waitFor(() => upstream.calls("llm")[0], "the turn")
  leaving.abort()
  expect(await left).toBe("left")
  // The line is logged when the service has noticed the disconnect.
  await service.says(/"path":"\/api\/v1\/voice\/conversation","status":499/)
  return service
}

const retry = () => staying.converse(user, new Blob([recording]), { headers: { "idempotency-key": key } })

test("a stop waits for a turn without its client", async () => {
  upstream.script("llm", [{ delayMs: 400, chunkDelayMs: 5 }])
  const service = await unattended({ SHUTDOWN_TIMEOUT_SECONDS: "600" })
  service.signal("SIGTERM")
  expect(await service.ended).toBe(0)
  expect(service.stdout()).not.toContain("shutdown.requests_aborted")
  const [turn] = await database.sql`select state, response from turns where idempotency_key = ${key}`
  expect(turn).toEqual({ state: "completed", response: DEFAULT_REPLY })
  const again = await retry()
  expect(again.headers.get("idempotent-replayed")).toBe("true")
  expect((await decode(await again.bytes())).log).toBe("")
  expect(staying.upstream.calls("stt")).toEqual([])
})

test("a stop that cannot wait ends the turn and frees its key", async () => {
  upstream.script("llm", [fail.hang()])
  const service = await unattended({ SHUTDOWN_TIMEOUT_SECONDS: "0.3" })
  service.signal("SIGTERM")
  expect(await service.ended).toBe(0)
  await upstream.waitFor(() => upstream.openCalls() === 0, "the end of the turn's request")
  expect(await database.sql`select 1 from turns where idempotency_key = ${key}`).toHaveLength(0)
  expect(await database.sql`select 1 from turns where state = 'running'`).toHaveLength(0)
  const again = await retry()
  expect(again.status).toBe(200)
  expect(again.headers.get("idempotent-replayed")).toBeNull()
  await again.bytes()
})

test.each([
  ["before its first sound", { ...fail.badRequest(), delayMs: 1500 }, "ProviderRefusedRequest"],
  ["in the midst of its answer", { ...fail.reset({ tokens: 30 }), chunkDelayMs: 60 }, "ProviderUnusable"],
])("a turn that fails %s without its client is logged", async (_, step, error) => {
  upstream.script("llm", [step])
  upstream.default("llm", fail.badRequest())
  const service = await unattended()
  await service.says(new RegExp(`"event":"response.aborted".*"error":"${error}"`))
})

test("a killed process's turn is retried after its lease", async () => {
  upstream.script("llm", [fail.hang()])
  const service = await unattended()
  service.signal("SIGKILL")
  await service.ended
  const again = retry()
  await staying.turnsInHand(1)
  const dead = await database.sql`
    update turns set lease_until = now() where idempotency_key = ${key} and state = 'running' returning id`
  expect(dead).toHaveLength(1)
  const answer = await again
  expect(answer.status).toBe(200)
  expect(answer.headers.get("x-turn-id")).not.toBe(dead[0].id)
  await answer.bytes()
  const [{ messages }] = await database.sql`
    select count(*)::int as messages from messages where turn_id = ${answer.headers.get("x-turn-id")}`
  expect(messages).toBe(2)
  expect(staying.upstream.calls("stt")).toHaveLength(1)
})
