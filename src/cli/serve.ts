import { Effect, Layer } from "effect"

/**
 * The whole service, until it is told to stop. It is loaded here and not above, so that a command that talks to a
 * service elsewhere starts without it.
 */
export const serve = Effect.flatMap(
  Effect.promise(() => import("../app.ts")),
  ({ layer }) => Layer.launch(layer),
)

/** The database and the log alone. */
export const migrate = Effect.flatMap(
  Effect.promise(() => import("../app.ts")),
  ({ migrationsOnly }) => Effect.provide(Effect.logInfo("migration.completed"), migrationsOnly),
)

/** `users …`, whose command line is its own. */
export const users = (args: ReadonlyArray<string>) =>
  Effect.flatMap(
    Effect.promise(() => Promise.all([import("../app.ts"), import("../accounts/command-line.ts")])),
    ([{ administration }, { administer }]) => administer(args, administration),
  )
