import { Duration, Effect, Option, Redacted } from "effect"
import type { ServerSettings } from "../../src/config.ts"
import { Lessons } from "../../src/providers/lessons.ts"
import { makeClient } from "../../src/providers/openai/client.ts"

export const serverSettings = (baseUrl: string, settings: Partial<ServerSettings> = {}): ServerSettings => ({
  engine: "compatible",
  baseUrl: Option.some(baseUrl),
  apiKey: Redacted.make("sk-test"),
  keyHeader: Option.none(),
  model: "unused",
  omit: [],
  extraBody: {},
  timeout: Duration.seconds(10),
  ...settings,
})

/** A client of the server at `baseUrl`, which has learned nothing yet. */
export const clientOf = (baseUrl: string, settings: Partial<ServerSettings> = {}) =>
  makeClient(
    serverSettings(baseUrl, settings),
    Effect.runSync(Effect.scoped(Effect.provide(Lessons, Lessons.layerMemory))),
  )
