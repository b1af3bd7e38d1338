import { afterAll, beforeAll, expect, test } from "bun:test"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { cleanUpProcesses, startProcess } from "../support/process.ts"
import { startUpstream, type Upstream } from "../support/upstream.ts"

let database: TestDatabase
let upstream: Upstream
beforeAll(async () => {
  database = await makeDatabase()
  upstream = await startUpstream()
})
afterAll(async () => {
  await cleanUpProcesses()
  await upstream.stop()
  await database.drop()
})

test("rehearses turns without the provider, the log and the database", async () => {
  const service = startProcess({
    env: {
      NODE_ENV: "production",
      LOG_LEVEL: "debug",
      DATABASE_URL: database.url,
      OPENAI_API_KEY: "sk-test",
      OPENAI_BASE_URL: upstream.baseUrl,
    },
  })
  await service.says(/server\.warmed_up/)
  expect(upstream.calls("stt").length + upstream.calls("llm").length + upstream.calls("tts").length).toBe(0)
  expect(upstream.openConnections()).toBe(0)
  const events = service.records().map(({ event }) => String(event))
  expect(events.filter((event) => /^(?:turn|provider|request)\./.test(event))).toEqual([])
  expect([...(await database.sql`select id from turns union all select id from users`)]).toEqual([])
  service.signal("SIGTERM")
  expect(await service.ended).toBe(0)
})
