import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test"
import { mkdtemp, rename, rm, symlink } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as BunContext from "@effect/platform-bun/BunContext"
import { ConfigProvider, Effect, Layer, Schema, TestClock } from "effect"
import { Settings } from "../../src/config.ts"
import * as Postgres from "../../src/db/postgres.ts"
import { Ffmpeg } from "../../src/ffmpeg/ffmpeg.ts"
import { healthRoutes } from "../../src/http/health.ts"
import * as Providers from "../../src/providers/layer.ts"
import { Lessons } from "../../src/providers/lessons.ts"
import { VoiceActivity } from "../../src/vad/voice-activity.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { effectTest } from "../support/effect.ts"
import { type Service, startService } from "../support/service.ts"
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts"
import { until } from "../support/turns.ts"
import { readAs } from "./answers.ts"

const Check = Schema.Struct({
  status: Schema.Literal("ok", "unavailable", "degraded"),
  engine: Schema.optional(Schema.String),
  model: Schema.optional(Schema.String),
  advice: Schema.optional(Schema.String),
})
const Readiness = Schema.Struct({
  status: Schema.Literal("ready", "unavailable"),
  checks: Schema.Struct({ database: Check, ffmpeg: Check, stt: Check, llm: Check, tts: Check, vad: Check }),
})
const Health = Schema.Struct({
  status: Schema.Literal("ok"),
  timestamp: Schema.Date,
  service: Schema.Literal("voice-agent-api"),
})

let database: TestDatabase
let proxy: TcpProxy
let service: Service
let folder: string
beforeAll(async () => {
  database = await makeDatabase()
  proxy = await startTcpProxy(database.url)
  folder = await mkdtemp(join(tmpdir(), "voice-agent-test-"))
  await symlink(Bun.which("ffmpeg") ?? "", ffmpeg())
  service = await startService({
    database: { ...database, url: proxy.url },
    env: { FFMPEG_PATH: ffmpeg(), STT_BASE_URL: "http://127.0.0.1:9/v1", LLM_MODEL: "gpt-test" },
  })
})
afterAll(async () => {
  await service.stop()
  await proxy.stop()
  await database.drop()
  await rm(folder, { recursive: true })
})
afterEach(() => proxy.restore())

const ffmpeg = () => join(folder, "ffmpeg")
const ready = () => service.call("GET", "/ready")
const asked = () => proxy.statements().filter((statement) => statement === "select 1").length
const becomes = (status: number) =>
  until(async () => (await ready()).status === status, `/ready to be ${status}`)

test("GET /health is 200 while the process runs", async () => {
  proxy.cut()
  proxy.forget()
  const answer = await service.call("GET", "/health")
  expect(answer.status).toBe(200)
  const { timestamp } = await readAs(Health, answer)
  expect(timestamp.getTime()).toBeCloseTo(Date.now(), -5)
  expect(proxy.statements()).toEqual([])
})

test("GET /ready reports each part and the stages' providers", async () => {
  await becomes(200)
  expect(await readAs(Readiness, await ready())).toEqual({
    status: "ready",
    checks: {
      database: { status: "ok" },
      ffmpeg: { status: "ok" },
      stt: { status: "ok", engine: "compatible", model: "whisper-1" },
      llm: { status: "ok", engine: "compatible", model: "gpt-test" },
      tts: { status: "ok", engine: "compatible", model: "tts-1" },
      vad: {
        status: expect.stringMatching(/^(ok|degraded)$/),
        engine: expect.stringMatching(/^(silero|energy)$/),
      },
    },
  })
})

test("GET /ready shares one database query, and calls no provider", async () => {
  await becomes(200)
  proxy.forget()
  await Promise.all(Array.from({ length: 50 }, ready))
  expect(asked()).toBeLessThanOrEqual(1)
  for (const stage of ["stt", "llm", "tts"] as const) expect(service.upstream.calls(stage)).toEqual([])
  expect(service.upstream.openConnections()).toBe(0)
})

test("GET /ready is 503 without the database or ffmpeg", async () => {
  proxy.cut()
  await rename(ffmpeg(), `${ffmpeg()}-away`)
  await becomes(503)
  expect(await readAs(Readiness, await ready())).toMatchObject({
    status: "unavailable",
    checks: { database: { status: "unavailable" }, ffmpeg: { status: "unavailable" }, stt: { status: "ok" } },
  })
  proxy.restore()
  await rename(`${ffmpeg()}-away`, ffmpeg())
  await becomes(200)
})

test("GET /ready names the stages on the offline engines", async () => {
  const offline = await startService({
    database,
    env: { OPENAI_API_KEY: "", OPENAI_BASE_URL: "", LLM_BASE_URL: "http://127.0.0.1:9/v1" },
  })
  expect(await readAs(Readiness, await offline.call("GET", "/ready"))).toMatchObject({
    status: "ready",
    checks: {
      stt: {
        status: "ok",
        engine: "offline",
        model: expect.stringMatching(/^(moonshine|pocketsphinx|none)/),
        advice: expect.stringContaining("./voice-agent models pull"),
      },
      llm: { status: "ok", engine: "compatible", model: "gpt-3.5-turbo" },
      tts: { status: "ok", engine: "offline", model: expect.stringMatching(/^(flite|espeak-ng|none)$/) },
    },
  })
  await offline.stop()
})

describe("the result of GET /ready", () => {
  /** Only the routes, on a TestClock. */
  const routes = Effect.gen(function* () {
    const app = yield* healthRoutes
    return {
      ready: () => app.handle(new Request("http://localhost/ready")),
      asked: (times: number) => Effect.promise(() => until(() => asked() === times, `${times} queries`)),
    }
  })
  const parts = Layer.suspend(() =>
    Layer.mergeAll(
      Postgres.layer,
      VoiceActivity.layerFake,
      Layer.provide(Providers.layer, [Ffmpeg.layer, Lessons.layerMemory]),
    ).pipe(
      Layer.provideMerge(Settings.layer),
      Layer.provideMerge(BunContext.layer),
      Layer.provide(
        Layer.setConfigProvider(
          ConfigProvider.fromMap(
            new Map([
              ["DATABASE_URL", proxy.url],
              ["OPENAI_API_KEY", "sk-test"],
            ]),
          ),
        ),
      ),
    ),
  )

  effectTest(
    "is cached for a second",
    Effect.gen(function* () {
      const { ready, asked } = yield* routes
      proxy.forget()
      for (const [pass, times] of [
        ["0 millis", 1],
        ["999 millis", 1],
        ["1 millis", 2],
        ["1 hour", 3],
      ] as const) {
        yield* TestClock.adjust(pass)
        expect((yield* Effect.promise(ready)).status).toBe(200)
        yield* asked(times)
      }
    }).pipe(Effect.provide(parts)),
  )

  effectTest(
    "is 503 after 2 s without an answer of the database",
    Effect.gen(function* () {
      const { ready, asked } = yield* routes
      proxy.forget()
      yield* Effect.promise(ready)
      proxy.stall()
      yield* TestClock.adjust("1 second")
      const silent = ready()
      yield* asked(2)
      yield* TestClock.adjust("2 seconds")
      expect((yield* Effect.promise(() => silent)).status).toBe(503)
      proxy.restore()
    }).pipe(Effect.provide(parts)),
  )
})
