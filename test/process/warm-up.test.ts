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

/** What the service exports. */
const exported: Array<string> = []
const collector = Bun.serve({
  port: 0,
  fetch: async (request) => {
    exported.push(await request.text())
    return Response.json({})
  },
})
afterAll(() => collector.stop())

test("rehearses turns without the provider, the log, traces, metrics and the database", async () => {
  const service = startProcess({
    env: {
      NODE_ENV: "production",
      WARM_UP_TURNS: "5",
      LOG_LEVEL: "debug",
      DATABASE_URL: database.url,
      OPENAI_API_KEY: "sk-test",
      OPENAI_BASE_URL: upstream.baseUrl,
      OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.url}`,
    },
  })
  await service.says(/server\.(?:warmed_up|warm_up_failed)/)
  expect(upstream.calls("stt").length + upstream.calls("llm").length + upstream.calls("tts").length).toBe(0)
  expect(upstream.openConnections()).toBe(0)
  const events = service.records().map(({ event }) => String(event))
  expect(events).toContain("server.warmed_up")
  expect(events.filter((event) => /^(?:turn|provider|request)\./.test(event))).toEqual([])
  expect([
    ...(await database.sql`select id from turns union all select id from users union all select id from sessions`),
  ]).toEqual([])
  service.signal("SIGTERM")
  expect(await service.ended).toBe(0)
  const names = exported.flatMap((body) => Array.from(body.matchAll(/"name":"([^"]+)"/g), ([, name]) => name))
  // Spans of the start, and gauges.
  expect(names).toContain("CleanUp")
  expect(names).toContain("voice_agent.turns.running")
  const ofTurns = /^(?:reply|speak|makeCalls|Keys|History|Spending|Ledger\.isRunning|Ffmpeg|exception)\b/
  const counters = /^voice_agent\.(?:requests|turns$|turn\.|retries|provider|tool_calls|cost|audio)/
  expect(names.filter((name) => ofTurns.test(`${name}`) || counters.test(`${name}`))).toEqual([])
})
