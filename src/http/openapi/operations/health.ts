import { Health, Readiness } from "../../payloads.ts"
import { describe, json } from "../operation.ts"

export const health = describe({
  id: "getHealth",
  tag: "Health",
  isPublic: true,
  summary: "Check health",
  description: "Checks neither the database nor a provider.",
  answers: [
    {
      status: 200,
      description: "The process runs.",
      content: json(Health, {
        status: "ok",
        timestamp: "2026-01-31T12:00:00.000Z",
        service: "voice-agent-api",
      }),
    },
  ],
})

const checks = {
  ffmpeg: { status: "ok" },
  stt: { status: "ok", engine: "openai", model: "whisper-1" },
  llm: { status: "ok", engine: "openai", model: "gpt-3.5-turbo" },
  tts: { status: "failing", engine: "openai", model: "tts-1" },
  vad: { status: "ok", engine: "silero" },
} as const

export const ready = describe({
  id: "getReadiness",
  tag: "Health",
  isPublic: true,
  summary: "Check readiness",
  description:
    "The result is cached for one second. The check calls no provider: it reports the outcome of recent requests, and the engine of each stage. The service stays ready while a provider fails.",
  answers: [
    {
      status: 200,
      description: "The service can take turns.",
      content: json(Readiness, { status: "ready", checks: { database: { status: "ok" }, ...checks } }),
    },
    {
      status: 503,
      description: "The database or ffmpeg is unavailable.",
      content: json(Readiness, {
        status: "unavailable",
        checks: { database: { status: "unavailable" }, ...checks },
      }),
    },
  ],
})
