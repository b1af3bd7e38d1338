/** The service without a key, with the real recognizer, while the recognizer's process is killed. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { symlinkSync } from "node:fs"
import { join } from "node:path"
import { Schema } from "effect"
import { processExists } from "../../src/process.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { hasRecognizer, library } from "../support/offline-models.ts"
import { cleanUpProcesses, newFolder, type ServiceProcess, startProcess } from "../support/process.ts"
import { until } from "../support/turns.ts"

const question = new URL("../../examples/question.wav", import.meta.url).pathname

let database: TestDatabase
beforeAll(async () => {
  database = await makeDatabase()
})
afterAll(async () => {
  await cleanUpProcesses()
  await database.drop()
})

const startOffline = async () => {
  const data = newFolder()
  for (const folder of library.folders.slice(0, 1)) symlinkSync(folder, join(data, "models"))
  const service = startProcess({
    env: { DATABASE_URL: database.url, OFFLINE_ENGINES: "on", DATA_DIR: data, NODE_ENV: "production" },
  })
  return { service, api: `${await service.url()}/api/v1` }
}

const engineOf = (service: ServiceProcess) =>
  Number(
    Bun.spawnSync(["pgrep", "-P", `${service.pid}`, "-f", "engine/child.ts"])
      .stdout.toString()
      .split("\n")[0],
  )

/** Ends the service, and expects that its engine ends, too. */
const endsWith = async (service: ServiceProcess, signal: NodeJS.Signals) => {
  const engine = engineOf(service)
  expect(processExists(engine)).toBe(true)
  service.signal(signal)
  await service.ended
  await until(() => !processExists(engine), "the end of the engine")
}

const keyOf = async (api: string) => {
  const body = new URLSearchParams({ email: `engine-${crypto.randomUUID()}@example.com` })
  const answer = await fetch(`${api}/users/register`, { method: "POST", body })
  return Schema.decodeUnknownSync(Schema.Struct({ apiKey: Schema.String }))(await answer.json()).apiKey
}

const Turn = Schema.Struct({ transcript: Schema.String })

const ask = async (api: string, key: string) => {
  const form = new FormData()
  form.set("audio", Bun.file(question))
  const answer = await fetch(`${api}/voice/conversation`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, accept: "application/json" },
    body: form,
  })
  expect(answer.status).toBe(200)
  return Schema.decodeUnknownSync(Turn)(await answer.json()).transcript
}

describe.skipIf(!hasRecognizer)("the recognizer's process", () => {
  test("is killed: turns go on, and end with the right transcript; ends with the service", async () => {
    const { service, api } = await startOffline()
    const key = await keyOf(api)
    await service.says(/engine\.ready/)
    expect(await ask(api, key)).toContain("Robert")
    const before = engineOf(service)
    const turns = Promise.all(Array.from({ length: 4 }, () => ask(api, key)))
    process.kill(before, "SIGKILL")
    for (const transcript of await turns) expect(transcript).toContain("Robert")
    expect(engineOf(service)).not.toBe(before)
    expect(service.records().filter(({ event }) => event === "engine.failed")).toMatchObject([
      { level: "warn", engine: expect.stringMatching(/^moonshine/), failures: 1 },
    ])
    await endsWith(service, "SIGTERM")
    expect(await service.ended).toBe(0)
  }, 60_000)

  test("ends with a killed service", async () => {
    const { service } = await startOffline()
    await service.says(/engine\.ready/)
    await endsWith(service, "SIGKILL")
  }, 60_000)
})
