import * as BunContext from "@effect/platform-bun/BunContext"
import { ConfigProvider, Layer, Logger } from "effect"
import { Settings } from "../../src/config.ts"
import * as Postgres from "../../src/db/postgres.ts"

/**
 * Parts of the service on a database, without a log. They get the pool, the settings and the platform, and so does the test.
 *
 * @param database Read when the layer is built.
 * @param variables Others than DATABASE_URL.
 */
export const storedParts = <A, E, R>(
  parts: Layer.Layer<A, E, R>,
  database: () => { readonly url: string },
  variables: Readonly<Record<string, string>> = {},
) =>
  Layer.suspend(() => {
    const all = { OPENAI_API_KEY: "sk-test", ...variables, DATABASE_URL: database().url }
    return parts.pipe(
      Layer.provideMerge(Postgres.layer),
      Layer.provideMerge(Settings.layer),
      Layer.provideMerge(BunContext.layer),
      Layer.provide(Logger.remove(Logger.defaultLogger)),
      Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(all))))),
    )
  })
