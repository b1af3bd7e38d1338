import { beforeAll, expect, test } from "bun:test"
import { Schema } from "effect"
import { wav16k } from "./support/audio.ts"
import { startTurns, type TurnService } from "./support/turns.ts"
import { fail } from "./support/upstream.ts"

const Attributes = Schema.Array(
  Schema.Struct({ key: Schema.String, value: Schema.Record({ key: Schema.String, value: Schema.Unknown }) }),
)
const Span = Schema.Struct({
  name: Schema.String,
  traceId: Schema.String,
  spanId: Schema.String,
  parentSpanId: Schema.optional(Schema.String),
  attributes: Attributes,
  events: Schema.Array(Schema.Struct({ name: Schema.String, attributes: Attributes })),
  status: Schema.Struct({ code: Schema.Number, message: Schema.optional(Schema.String) }),
})
const Traces = Schema.Struct({
  resourceSpans: Schema.Array(
    Schema.Struct({
      resource: Schema.Struct({ attributes: Attributes }),
      scopeSpans: Schema.Array(Schema.Struct({ spans: Schema.Array(Span) })),
    }),
  ),
})
const Point = Schema.Struct({
  attributes: Attributes,
  asDouble: Schema.optional(Schema.Number),
  count: Schema.optional(Schema.Union(Schema.Number, Schema.String)),
})
const Points = Schema.optional(Schema.Struct({ dataPoints: Schema.Array(Point) }))
const Metrics = Schema.Struct({
  resourceMetrics: Schema.Array(
    Schema.Struct({
      scopeMetrics: Schema.Array(
        Schema.Struct({
          metrics: Schema.Array(
            Schema.Struct({ name: Schema.String, unit: Schema.String, sum: Points, histogram: Points }),
          ),
        }),
      ),
    }),
  ),
})

/** Words that occur only in these turns. */
const secrets = { transcript: "hushheard", reply: "hushreply", quoted: "hushquoted" }
const caller = { traceId: "4bf92f3577b34da6a3ce929d0e0e4736", spanId: "00f067aa0ba902b7" }

/** The collector's requests from a service that ran two turns, one of which failed, and stopped. */
const received: Array<{ readonly path: string; readonly token: string | null; readonly body: string }> = []
let key = ""
beforeAll(async () => {
  const collector = Bun.serve({
    port: 0,
    fetch: async (request) => {
      const { pathname: path } = new URL(request.url)
      received.push({ path, token: request.headers.get("x-token"), body: await request.text() })
      return Response.json({})
    },
  })
  const service: TurnService = await startTurns({
    speed: 20,
    env: {
      OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.url}`,
      OTEL_EXPORTER_OTLP_HEADERS: "X-Token=hush%20key",
      OTEL_SERVICE_NAME: "speaker",
    },
  })
  key = await service.register()
  const recording = new Blob([await wav16k()])
  service.upstream.default("stt", { text: secrets.transcript })
  service.upstream.default("llm", { text: `I ${secrets.reply}.` })
  service.upstream.script("stt", [fail.status(503)])
  const completed = await service.converse(key, recording, {
    headers: { traceparent: `00-${caller.traceId}-${caller.spanId}-01` },
  })
  await completed.bytes()
  service.upstream.default("llm", fail.badRequest(`No ${secrets.quoted} here`))
  const failed = await service.converse(key, recording)
  expect(failed.status).toBe(400)
  await service.stop()
  await collector.stop()
})

const spans = () =>
  received
    .filter(({ path }) => path === "/v1/traces")
    .flatMap(({ body }) => Schema.decodeUnknownSync(Schema.parseJson(Traces))(body).resourceSpans)
    .flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans))

test("a turn joins the client's trace, with a span per stage", () => {
  const trace = spans().filter(({ traceId }) => traceId === caller.traceId)
  const [request] = trace.filter(({ parentSpanId }) => parentSpanId === caller.spanId)
  expect(request?.name).toBe("POST /api/v1/voice/conversation")
  const nameOf = new Map(trace.map(({ spanId, name }) => [spanId, name]))
  const parents = Object.fromEntries(
    trace.map(({ name, parentSpanId }) => [name, nameOf.get(parentSpanId ?? "")]),
  )
  expect(parents).toMatchObject({
    turn: request?.name,
    hear: "turn",
    identify: "hear",
    "Ffmpeg.decode": "hear",
    "Transcriber.transcribe": "hear",
    "transcribe whisper-1": "Transcriber.transcribe",
    "History.forPrompt": "turn",
    reply: "turn",
    "LanguageModel.generate": "reply",
    "chat gpt-3.5-turbo": "LanguageModel.generate",
    speak: "reply",
    "Synthesizer.speak": "speak",
    "speak tts-1": "Synthesizer.speak",
    saveCompleted: "turn",
    "Ledger.save": "saveCompleted",
  })
  const [turn] = trace.filter(({ name }) => name === "turn")
  expect(turn?.attributes.map(({ key }) => key)).toEqual(expect.arrayContaining(["turnId", "sessionId"]))
})

test("a request to a model is a span by OpenTelemetry's conventions", () => {
  const [chat] = spans().filter(
    ({ name, traceId }) => name === "chat gpt-3.5-turbo" && traceId === caller.traceId,
  )
  const attributes = Object.fromEntries(
    (chat?.attributes ?? []).map(({ key, value: { stringValue, intValue } }) => [
      key,
      stringValue ?? Number(intValue),
    ]),
  )
  expect(attributes).toMatchObject({
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt-3.5-turbo",
    "gen_ai.provider.name": "127.0.0.1",
    "server.address": "127.0.0.1",
    "server.port": expect.any(Number),
    "gen_ai.usage.input_tokens": expect.any(Number),
    "gen_ai.usage.output_tokens": expect.any(Number),
  })
  const failed = spans().filter(({ name, status }) => name === "chat gpt-3.5-turbo" && status.code === 2)
  expect(failed.flatMap((span) => span.attributes)).toContainEqual({
    key: "error.type",
    value: { stringValue: "refused_request" },
  })
})

test("a request without traceparent starts a trace of its own", () => {
  const roots = spans().filter(({ parentSpanId }) => parentSpanId === undefined)
  const turns = roots.filter(({ name }) => name === "POST /api/v1/voice/conversation")
  expect(turns).toHaveLength(1)
  const below = spans().filter(({ traceId }) => traceId === turns[0]?.traceId)
  expect(below.map(({ name }) => name)).toEqual(expect.arrayContaining(["Keys.authenticate", "turn"]))
  expect(turns[0]?.attributes).toContainEqual({
    key: "http.response.status_code",
    value: { intValue: 400 },
  })
})

test("a failed span has the error's name and stack, not its message", () => {
  const failed = spans().filter(({ name, status }) => name === "LanguageModel.generate" && status.code === 2)
  expect(failed).toMatchObject([
    { status: { message: "ProviderRefusedRequest" }, events: [{ name: "exception" }] },
  ])
  expect(JSON.stringify(failed)).toMatch(/src\/providers\/openai\/errors\.ts:\d+/)
})

test("no transcript and no key is sent", () => {
  const all = received.map(({ body }) => body).join()
  for (const secret of [...Object.values(secrets), key, "hush"]) expect(all).not.toContain(secret)
})

test("metrics count requests, turns and retries, and time the turns", () => {
  const last = received.findLast(({ path }) => path === "/v1/metrics")?.body
  const metrics = Schema.decodeUnknownSync(Schema.parseJson(Metrics))(last)
    .resourceMetrics.flatMap(({ scopeMetrics }) => scopeMetrics)
    .flatMap(({ metrics }) => metrics)
  const labelled = (name: string, value: string) =>
    metrics
      .filter((metric) => metric.name === name)
      .flatMap(({ sum, histogram }) => (sum ?? histogram)?.dataPoints ?? [])
      .filter(({ attributes }) => attributes.some((each) => each.value.stringValue === value))
      .map(({ asDouble, count }) => Number(asDouble ?? count))
  for (const [name, value] of [
    ["voice_agent.turns", "completed"],
    ["voice_agent.turns", "ProviderRefusedRequest"],
    ["voice_agent.requests", "400"],
    ["voice_agent.retries", "stt"],
    ["voice_agent.turn.time", "firstAudio"],
  ] as const) {
    // More than one where other test files of this process counted too: Effect has one registry of metrics.
    const points = labelled(name, value)
    expect({ name, value, points }).toEqual({
      name,
      value,
      points: expect.arrayContaining([expect.any(Number)]),
    })
  }
  expect(metrics.find(({ name }) => name === "voice_agent.turn.time")?.unit).toBe("ms")
})

test("everything goes to OTEL_EXPORTER_OTLP_ENDPOINT with the headers", () => {
  expect(new Set(received.map(({ path }) => path))).toEqual(new Set(["/v1/traces", "/v1/metrics"]))
  expect(new Set(received.map(({ token }) => token))).toEqual(new Set(["hush key"]))
  for (const { body } of received) expect(body).toContain('"speaker"')
})
