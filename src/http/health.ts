import * as SqlClient from "@effect/sql/SqlClient"
import { Duration, Effect, Option, Schema } from "effect"
import { Elysia } from "elysia"
import { Settings } from "../config.ts"
import { query } from "../db/postgres.ts"
import { isInstalled } from "../ffmpeg/ffmpeg.ts"
import { LanguageModel } from "../providers/language-model.ts"
import { Synthesizer } from "../providers/synthesizer.ts"
import { Transcriber } from "../providers/transcriber.ts"
import type { Stage } from "../schema.ts"
import { VoiceActivity } from "../vad/voice-activity.ts"
import * as operations from "./openapi/operations/health.ts"
import { Health, Readiness } from "./payloads.ts"
import { makeRun } from "./run.ts"

/** Many monitors cost one query a second, and a load balancer still learns soon enough. */
const cachedFor = Duration.seconds(1)
const databaseTimeout = Duration.seconds(2)

const ok = { status: "ok" } as const
const unavailable = { status: "unavailable" } as const
const noAdvice: Effect.Effect<Option.Option<string>> = Effect.succeedNone

const encodeHealth = Schema.encodeSync(Health)
const encodeReadiness = Schema.encodeSync(Readiness)

/** `/health`: the process is alive. `/ready`: it can take turns. Neither sends a request to a provider. */
export const healthRoutes = Effect.gen(function* () {
  const run = yield* makeRun
  const sql = yield* SqlClient.SqlClient
  const settings = yield* Settings
  const { ffmpegPath } = settings

  const database = query(sql`select 1`).pipe(
    Effect.disconnect,
    Effect.timeout(databaseTimeout),
    Effect.match({ onFailure: () => unavailable, onSuccess: () => ok }),
  )
  const ffmpeg = Effect.sync(() => (isInstalled(ffmpegPath) ? ok : unavailable))
  const ports = { stt: yield* Transcriber, llm: yield* LanguageModel, tts: yield* Synthesizer }
  const provider = Effect.fnUntraced(function* (stage: Stage) {
    const { status, model, advice = noAdvice } = ports[stage]
    return {
      status: yield* status,
      engine: settings[stage].engine,
      model: yield* model,
      advice: Option.getOrUndefined(yield* advice),
    }
  })

  const voiceActivity = yield* VoiceActivity
  const vad = Effect.map(voiceActivity.engine, (engine) => ({
    status: engine === "silero" ? ("ok" as const) : ("degraded" as const),
    engine,
  }))

  const readiness = yield* Effect.cachedWithTTL(
    Effect.gen(function* () {
      const checks = { database: yield* database, ffmpeg: yield* ffmpeg }
      const ready = Object.values(checks).every((check) => check === ok)
      return {
        ready,
        body: encodeReadiness({
          status: ready ? "ready" : "unavailable",
          // A failing provider fails for every instance: a 503 here would leave none to take turns once it is back.
          checks: {
            ...checks,
            stt: yield* provider("stt"),
            llm: yield* provider("llm"),
            tts: yield* provider("tts"),
            vad: yield* vad,
          },
        }),
      }
    }),
    cachedFor,
  )

  return new Elysia()
    .get("/health", () => encodeHealth({ status: "ok", timestamp: new Date(), service: "voice-agent-api" }), {
      detail: operations.health,
    })
    .get(
      "/ready",
      ({ request }) =>
        run(
          request,
          Effect.map(readiness, ({ ready, body }) => Response.json(body, { status: ready ? 200 : 503 })),
        ),
      { detail: operations.ready },
    )
})
