import * as SqlClient from "@effect/sql/SqlClient"
import { Duration, Effect } from "effect"
import { Elysia } from "elysia"
import { Settings } from "../config.ts"
import { query } from "../db/postgres.ts"
import { isInstalled } from "../ffmpeg/ffmpeg.ts"
import { Providers } from "../providers/openai/client.ts"
import type { Stage } from "../schema.ts"
import * as operations from "./openapi/operations/health.ts"
import { makeRun } from "./run.ts"

/** Long enough that a monitor's storm costs one query a second, short enough for a load balancer. */
const cachedFor = Duration.seconds(1)
const databasePatience = Duration.seconds(2)

const ok = { status: "ok" }
const unavailable = { status: "unavailable" }
const failing = { status: "failing" }

/** Whether the process lives, and whether it can take turns. Neither ever asks a provider. */
export const healthRoutes = Effect.gen(function* () {
  const run = yield* makeRun
  const sql = yield* SqlClient.SqlClient
  const settings = yield* Settings
  const { ffmpegPath } = settings

  const database = query(sql`select 1`).pipe(
    Effect.disconnect,
    Effect.timeout(databasePatience),
    Effect.match({ onFailure: () => unavailable, onSuccess: () => ok }),
  )
  const ffmpeg = Effect.sync(() => (isInstalled(ffmpegPath) ? ok : unavailable))
  const providers = yield* Providers
  const provider = (stage: Stage) =>
    Effect.map(providers[stage].isDown, (isDown) => {
      const { engine, model } = settings[stage]
      return { ...(isDown ? failing : ok), engine, ...(engine === "offline" ? {} : { model }) }
    })

  const readiness = yield* Effect.cachedWithTTL(
    Effect.gen(function* () {
      const checks = { database: yield* database, ffmpeg: yield* ffmpeg }
      const ready = Object.values(checks).every((check) => check === ok)
      return {
        ready,
        body: {
          status: ready ? "ready" : "unavailable",
          // One that fails is the same for every instance: none would be left to take turns once it is back.
          checks: {
            ...checks,
            stt: yield* provider("stt"),
            llm: yield* provider("llm"),
            tts: yield* provider("tts"),
          },
        },
      }
    }),
    cachedFor,
  )

  return new Elysia()
    .get(
      "/health",
      () => ({
        status: "ok",
        timestamp: new Date().toISOString(),
        service: "voice-agent-api",
      }),
      { detail: operations.health },
    )
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
