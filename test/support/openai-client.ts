import { Duration, Effect, Layer, Logger, Option, Redacted } from "effect"
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

/** Lessons in memory, and the log's lines about them. A fiber of its own writes the lines. */
export const withLessons = async (
  use: (lessons: Lessons["Type"], events: ReadonlyArray<string>) => Promise<void>,
) => {
  const events: Array<string> = []
  const logger = Logger.make<unknown, void>(({ annotations, message }) => {
    events.push(`${message} ${JSON.stringify(Object.fromEntries([...annotations].toSorted()))}`)
  })
  await Effect.runPromise(
    Effect.flatMap(Lessons, (lessons) => Effect.promise(() => use(lessons, events))).pipe(
      Effect.provide(Layer.provide(Lessons.layerMemory, Logger.replace(Logger.defaultLogger, logger))),
    ),
  )
}

/** A client of the server at `baseUrl`, which has learned nothing yet. */
export const clientOf = (baseUrl: string, settings: Partial<ServerSettings> = {}) =>
  makeClient(
    serverSettings(baseUrl, settings),
    Effect.runSync(Effect.scoped(Effect.provide(Lessons, Lessons.layerMemory))),
  )
