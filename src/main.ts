import { BunRuntime } from "@effect/platform-bun"
import { ConfigError, Console, Effect, Layer, Predicate } from "effect"
import { layer, migrationsOnly } from "./app.ts"
import { explainConfigError } from "./config.ts"

const commands: Record<string, Effect.Effect<unknown, unknown>> = {
  serve: Layer.launch(layer),
  migrate: Effect.scoped(Layer.build(migrationsOnly)),
}

const explain = (error: unknown) => {
  if (ConfigError.isConfigError(error)) return explainConfigError(error)
  return Predicate.hasProperty(error, "message") ? `${error.message}` : `${error}`
}

const name = process.argv[2] ?? "serve"
const command =
  commands[name] ?? Effect.fail(new Error(`Unknown command "${name}": use serve (the default) or migrate.`))

BunRuntime.runMain(
  Effect.tapError(command, (error) => Console.error(`The service did not start. ${explain(error)}`)),
  { disableErrorReporting: true, disablePrettyLogger: true },
)
