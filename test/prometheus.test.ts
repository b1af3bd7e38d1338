/** The metrics as Prometheus reads them, and the dashboard and the alert rules that are made of them. */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { parser } from "@prometheus-io/lezer-promql"
import { Schema } from "effect"
import { makeDatabase, type TestDatabase } from "./support/database.ts"
import { multipart, multipartType } from "./support/multipart.ts"
import { cleanUpProcesses, type ServiceProcess, startProcess } from "./support/process.ts"
import { until } from "./support/turns.ts"
import { fail, startUpstream, type Upstream } from "./support/upstream.ts"
import { speechLike, wavOf } from "./support/wav.ts"

const words = { transcript: "hushheard", reply: "hushreply" }

/** A turn costs 2 for its recording of a second, and nothing else. */
const prices = {
  currency: "EUR",
  models: {
    "whisper-1": { perAudioMinute: 120 },
    "gpt-3.5-turbo": { perMillionInputTokens: 0, perMillionOutputTokens: 0 },
    "tts-1": { perMillionCharacters: 0 },
  },
}

let database: TestDatabase
let upstream: Upstream
let service: ServiceProcess
let metricsUrl: string
beforeAll(async () => {
  database = await makeDatabase()
  upstream = await startUpstream()
  upstream.default("stt", { text: words.transcript })
  upstream.default("llm", { text: `I ${words.reply}.` })
  service = startService({ METRICS_PORT: "0", PRICES: JSON.stringify(prices) })
  const url = await service.url()
  const [, found = ""] = await service.says(/"metrics\.listening".*"url":"([^"]+)"/)
  metricsUrl = found
  const key = await register(url)
  // The first request fails, the second one is good.
  upstream.script("stt", [fail.status(503)])
  await converse(url, key)
  upstream.script("llm", [fail.status(401)])
  await converse(url, key)
})
afterAll(async () => {
  await cleanUpProcesses()
  await upstream.stop()
  await database.drop()
})

const startService = (env: Record<string, string>) =>
  startProcess({
    env: {
      NODE_ENV: "production",
      OPENAI_API_KEY: "sk-test",
      OPENAI_BASE_URL: upstream.baseUrl,
      DATABASE_URL: database.url,
      ...env,
    },
  })

const register = async (url: string): Promise<string> => {
  const answer = await fetch(`${url}/api/v1/users/register`, {
    method: "POST",
    body: new URLSearchParams({ email: `${crypto.randomUUID()}@example.com` }),
  })
  return String(Object(await answer.json()).apiKey)
}

const converse = async (url: string, key: string) => {
  const answer = await fetch(`${url}/api/v1/voice/conversation`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": multipartType, accept: "application/json" },
    body: multipart([{ name: "audio", filename: "a.wav", content: wavOf(speechLike(1)) }]),
  })
  await answer.arrayBuffer()
}

const read = async () => (await fetch(metricsUrl)).text()

/** The value of a series, by its name and some of its labels. */
const sampleOf = (text: string, name: string, labels: Readonly<Record<string, string>> = {}) => {
  const line = text
    .split("\n")
    .find(
      (line) =>
        (line.startsWith(`${name}{`) || line.startsWith(`${name} `)) &&
        Object.entries(labels).every(([label, value]) => line.includes(`${label}="${value}"`)),
    )
  return line === undefined ? undefined : Number(line.split(" ").at(-1))
}

test("counts turns, requests to providers and retries", async () => {
  const text = await until(async () => {
    const text = await read()
    return sampleOf(text, "voice_agent_turns_total", { outcome: "ProviderRefusedKey" }) === 1
      ? text
      : undefined
  }, "both turns")
  if (text === undefined) throw new Error("no metrics")
  expect(sampleOf(text, "voice_agent_turns_total", { outcome: "completed" })).toBe(1)
  const requests = (stage: string, outcome: string) =>
    sampleOf(text, "voice_agent_provider_requests_total", { stage, server: "first", outcome })
  expect(requests("stt", "unusable")).toBe(1)
  expect(requests("stt", "ok")).toBe(2)
  expect(requests("llm", "ok")).toBe(1)
  expect(requests("llm", "refused_key")).toBe(1)
  expect(requests("tts", "ok")).toBe(1)
  expect(sampleOf(text, "voice_agent_provider_time_count", { stage: "stt" })).toBe(3)
  expect(sampleOf(text, "voice_agent_retries_total", { stage: "stt" })).toBe(1)
  expect(sampleOf(text, "voice_agent_turn_time_bucket", { part: "firstAudio", le: "+Inf" })).toBe(1)
  expect(sampleOf(text, "voice_agent_cost_total", { currency: "EUR" })).toBeGreaterThanOrEqual(2)
  expect(sampleOf(text, "target_info", { service_name: "voice-agent" })).toBe(1)
})

test("shows the load of the process", async () => {
  const text = await read()
  expect(sampleOf(text, "voice_agent_turns_running")).toBe(0)
  expect(sampleOf(text, "voice_agent_turns_waiting")).toBe(0)
  expect(sampleOf(text, "voice_agent_process_memory")).toBeGreaterThan(20 * 1024 * 1024)
  expect(sampleOf(text, "voice_agent_process_cpu_total")).toBeGreaterThan(0)
  expect(sampleOf(text, "voice_agent_stage_status", { stage: "llm", status: "ok" })).toBe(1)
  expect(sampleOf(text, "voice_agent_stage_status", { stage: "llm", status: "failing" })).toBe(0)
})

test("contains no words, keys and addresses", async () => {
  const text = await read()
  for (const secret of [...Object.values(words), "sk-test", "@example.com"])
    expect(text).not.toContain(secret)
})

test("serves only GET /metrics, and not on the port of the API", async () => {
  expect((await fetch(metricsUrl)).headers.get("content-type")).toBe(
    "text/plain; version=0.0.4; charset=utf-8",
  )
  expect((await fetch(new URL("/", metricsUrl))).status).toBe(404)
  expect((await fetch(metricsUrl, { method: "POST" })).status).toBe(405)
  expect((await fetch(new URL("/metrics", await service.url()))).status).toBe(404)
})

test("a taken port is said, and the service does not start", async () => {
  const { port } = new URL(metricsUrl)
  const second = startService({ METRICS_PORT: port })
  expect(await second.ended).toBe(1)
  expect(second.stderr()).toContain(`Port ${port} of 127.0.0.1 could not be opened for metrics`)
})

const fileOf = (name: string) => Bun.file(new URL(`../docs/monitoring/${name}`, import.meta.url)).text()

const Rules = Schema.Struct({
  groups: Schema.Array(
    Schema.Struct({
      name: Schema.String,
      rules: Schema.NonEmptyArray(
        Schema.Struct({
          alert: Schema.String,
          expr: Schema.String,
          for: Schema.optional(Schema.String.pipe(Schema.pattern(/^\d+[smh]$/))),
          labels: Schema.Struct({ severity: Schema.Literal("warning", "critical") }),
          annotations: Schema.Struct({ summary: Schema.String, action: Schema.String }),
        }),
      ),
    }),
  ),
})
const Dashboard = Schema.Struct({
  uid: Schema.String,
  panels: Schema.NonEmptyArray(
    Schema.Struct({
      id: Schema.Number,
      title: Schema.String,
      gridPos: Schema.Struct({
        x: Schema.Number,
        y: Schema.Number,
        w: Schema.Number,
        h: Schema.Number,
      }),
      datasource: Schema.Struct({ uid: Schema.String }),
      targets: Schema.NonEmptyArray(Schema.Struct({ refId: Schema.String, expr: Schema.String })),
    }),
  ),
})

const rules = Schema.decodeUnknownSync(Rules)(Bun.YAML.parse(await fileOf("alerts.yml")))
const dashboard = Schema.decodeUnknownSync(Schema.parseJson(Dashboard))(await fileOf("dashboard.json"))

/** Queries with what they belong to. Grafana replaces its variable by a time. */
const queries = [
  ...rules.groups.flatMap((group) => group.rules.map(({ alert, expr }) => [alert, expr] as const)),
  ...dashboard.panels.flatMap(({ title, targets }) => targets.map(({ expr }) => [title, expr] as const)),
].map(([owner, expr]) => [owner, expr.replaceAll("$__rate_interval", "1m")] as const)

test.each(queries)("the query of %s is PromQL", (_, query) => {
  const errors: Array<string> = []
  parser.parse(query).iterate({
    enter: ({ type, from, to }) => {
      if (type.isError) errors.push(query.slice(from, to))
    },
  })
  expect(errors).toEqual([])
})

test("the parser finds what is no PromQL", () => {
  let errors = 0
  parser.parse("sum(rate(x[1m])").iterate({
    enter: ({ type }) => {
      errors += type.isError ? 1 : 0
    },
  })
  expect(errors).toBeGreaterThan(0)
})

/** The names of the source's metrics, as Prometheus has them. */
const declaredNames = (source: string) =>
  [...source.matchAll(/Metric\.(counter|gauge|histogram)\(\s*"([\w.]+)"/g)].flatMap(([, kind, name = ""]) => {
    const base = name.replaceAll(".", "_")
    if (kind === "histogram") return [`${base}_bucket`, `${base}_count`, `${base}_sum`]
    return kind === "counter" ? [`${base}_total`] : [base]
  })

test("queries ask for metrics that the service has", async () => {
  const source = await Bun.file(new URL("../src/metrics.ts", import.meta.url)).text()
  const names = new Set(declaredNames(source))
  // Those that had an event.
  const exported = [...(await read()).matchAll(/^(voice_agent_\w+)/gm)].map(([, name = ""]) => name)
  expect(exported.filter((name) => !names.has(name))).toEqual([])
  expect(exported.length).toBeGreaterThan(20)
  const asked = queries.flatMap(([, query]) =>
    [...query.matchAll(/\bvoice_agent_\w+/g)].map(([name]) => name),
  )
  expect(asked.length).toBeGreaterThan(20)
  expect([...new Set(asked)].filter((name) => !names.has(name))).toEqual([])
})

test("the panels of the dashboard do not overlap", () => {
  const { panels } = dashboard
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
  for (const [i, { title, gridPos: a }] of panels.entries())
    for (const { title: other, gridPos: b } of panels.slice(i + 1)) {
      const isApart = a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y
      expect({ title, other, isApart }).toEqual({ title, other, isApart: true })
    }
  expect(panels.every(({ gridPos: { x, w } }) => x + w <= 24)).toBe(true)
})
