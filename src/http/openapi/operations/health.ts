import { Health, Readiness } from "../../payloads.ts"
import { describe, json } from "../operation.ts"

export const health = describe({
  id: "getHealth",
  tag: "Health",
  isPublic: true,
  summary: "Whether the process lives",
  description: "Touches nothing else: neither the database nor a provider.",
  answers: [
    {
      status: 200,
      description: "It lives.",
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
} as const

export const ready = describe({
  id: "getReadiness",
  tag: "Health",
  isPublic: true,
  summary: "Whether it can take turns",
  description:
    "Kept for a second, so that any number of monitors cost one query a second. Asks no provider: it says how their last answers went, and which stages run on the offline engines. A failing provider leaves the service ready.",
  answers: [
    {
      status: 200,
      description: "It can take turns.",
      content: json(Readiness, { status: "ready", checks: { database: { status: "ok" }, ...checks } }),
    },
    {
      status: 503,
      description: "Its database or ffmpeg is missing.",
      content: json(Readiness, {
        status: "unavailable",
        checks: { database: { status: "unavailable" }, ...checks },
      }),
    },
  ],
})
