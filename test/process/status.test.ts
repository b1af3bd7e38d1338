import { afterAll, afterEach, beforeAll, expect, test } from "bun:test"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { multipart, multipartType } from "../support/multipart.ts"
import { cleanUpProcesses, type ServiceProcess, startProcess } from "../support/process.ts"
import { until } from "../support/turns.ts"
import { fail, startUpstream, type Upstream } from "../support/upstream.ts"
import { speechLike, wavOf } from "../support/wav.ts"

let database: TestDatabase
let upstream: Upstream
beforeAll(async () => {
  database = await makeDatabase()
  upstream = await startUpstream()
})
afterEach(() => upstream.reset())
afterAll(async () => {
  await cleanUpProcesses()
  await upstream.stop()
  await database.drop()
})

const start = (env: Record<string, string> = {}) =>
  startProcess({
    env: {
      NODE_ENV: "production",
      OPENAI_API_KEY: "sk-test",
      OPENAI_BASE_URL: upstream.baseUrl,
      DATABASE_URL: database.url,
      ...env,
    },
  })

const lines = (service: ServiceProcess) => service.records().filter(({ event }) => event === "server.status")

/** Sends SIGUSR2 and returns the new status. */
const statusOf = async (service: ServiceProcess) => {
  const before = lines(service).length
  service.signal("SIGUSR2")
  return (await until(() => lines(service)[before], "a status")) ?? {}
}

const register = async (url: string): Promise<string> => {
  const answer = await fetch(`${url}/api/v1/users/register`, {
    method: "POST",
    body: new URLSearchParams({ email: `${crypto.randomUUID()}@example.com` }),
  })
  return String(Object(await answer.json()).apiKey)
}

const converse = (url: string, key: string, signal: AbortSignal | null = null) =>
  fetch(`${url}/api/v1/voice/conversation`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": multipartType },
    body: multipart([{ name: "audio", filename: "a.wav", content: wavOf(speechLike(1)) }]),
    signal,
  }).catch(() => undefined)

test("SIGUSR2 logs the status", async () => {
  const service = start()
  const url = await service.url()
  const key = await register(url)
  const idle = await statusOf(service)
  expect(idle).toMatchObject({ level: "info", turns: 0, waiting: 0, uploads: 0, uploadMb: 0 })
  expect(Number(idle.residentMb)).toBeGreaterThan(20)
  expect(Number(idle.heapMb)).toBeGreaterThan(1)
  expect(Number(idle.externalMb)).toBeGreaterThanOrEqual(0)
  expect(Number(idle.uptimeSeconds)).toBeGreaterThanOrEqual(0)

  upstream.default("stt", fail.hang())
  const leave = new AbortController()
  const turns = Array.from({ length: 3 }, () => converse(url, key, leave.signal))
  await upstream.waitFor(() => upstream.openCalls() === 3, "three turns that hear")
  const busy = await statusOf(service)
  // Each whole recording stays on the disk until its turn ends.
  expect(busy).toMatchObject({ turns: 3, uploads: 0 })
  expect(Number(busy.uploadMb)).toBeGreaterThan(0)
  // Each turn has several fibers.
  expect(Number(busy.fibers)).toBeGreaterThanOrEqual(Number(idle.fibers) + 9)

  leave.abort()
  await Promise.all(turns)
  // Fewer than before if the registration had not ended then.
  await until(
    async () => Number((await statusOf(service)).fibers) <= Number(idle.fibers),
    "no more fibers than before",
  )
  expect(await statusOf(service)).toMatchObject({ turns: 0, uploads: 0, uploadMb: 0 })
})

test("SIGUSR2 logs the status during a stop", async () => {
  upstream.default("stt", fail.hang())
  const service = start()
  const url = await service.url()
  const turn = converse(url, await register(url))
  await upstream.waitFor(() => upstream.openCalls() === 1, "a turn that hears")
  service.signal("SIGTERM")
  await service.says(/"server\.stopping"/)
  expect(await statusOf(service)).toMatchObject({ turns: 1 })
  upstream.reset()
  await turn
  expect(await service.ended).toBe(0)
})

test("SIGUSR2 does not end a starting service", async () => {
  const service = start({ DATABASE_URL: "postgres://nobody@127.0.0.1:9/none" })
  await service.says(/database\.waiting/)
  service.signal("SIGUSR2")
  await service.says(/database\.waiting/, 2)
  service.signal("SIGTERM")
  await service.ended
  expect(lines(service)).toEqual([])
})
