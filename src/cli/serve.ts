import { Effect, Layer } from "effect"

/** Loaded on use: a command that calls a service elsewhere starts faster without the service's modules. */
const app = Effect.promise(() => import("../app.ts"))

/** Runs the service until a signal stops it. */
export const serve = Effect.flatMap(app, ({ layer }) => Layer.launch(layer))

/** Building the layer migrates the database. */
export const migrate = Effect.flatMap(app, ({ migrationsOnly }) =>
  Effect.provide(Effect.logInfo("migration.completed"), migrationsOnly),
)
