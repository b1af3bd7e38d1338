import { defaultTeardown, type Teardown } from "@effect/platform/Runtime"
import * as BunRuntime from "@effect/platform-bun/BunRuntime"
import { Cause, Chunk, ConfigError, Console, Effect, Exit, Layer, Option, Predicate } from "effect"
import { administration, layer, migrationsOnly } from "./app.ts"
import { explainConfigError } from "./config.ts"
import { administer } from "./users/command-line.ts"

const usage = `Usage: bun src/main.ts [command]

  serve     run the service (the default)
  migrate   bring the database's schema up to date, and end
  users     create, list and delete users, and replace lost API keys (users --help)
  --help    this text

It is configured by environment variables, or by a file .env in the folder it is started in; .env.example has all.`

const commands: Record<string, Effect.Effect<unknown, unknown>> = {
  serve: Layer.launch(layer),
  migrate: Effect.provide(Effect.logInfo("schema up to date"), migrationsOnly),
  "--help": Console.log(usage),
  "-h": Console.log(usage),
  help: Console.log(usage),
}

const [name = "serve", ...more] = process.argv.slice(2)
const command =
  (name === "users" ? administer(more, administration) : undefined) ??
  (more.length === 0 && Object.hasOwn(commands, name) ? commands[name] : undefined) ??
  Effect.fail({
    message: `There is no command "${[name, ...more].join(" ")}": use serve (the default), migrate, users or --help.`,
  })

/** What the start of each command's sentence of failure is. */
const openings: Record<string, string> = {
  migrate: "The database was not migrated",
  users: "The command failed",
}

const explain = (error: unknown) => {
  if (ConfigError.isConfigError(error)) return explainConfigError(error)
  return Predicate.hasProperty(error, "message") ? `${error.message}` : `${error}`
}

/** What is wrong in one sentence; only a defect, which is a mistake in the service itself, comes with its stack. */
const report = (cause: Cause.Cause<unknown>) => {
  if (Cause.isInterruptedOnly(cause)) return Effect.void
  const failures = Chunk.toReadonlyArray(Cause.failures(cause))
  const what = failures.length > 0 ? failures.map(explain).join(" ") : Cause.pretty(cause)
  return Console.error(`${openings[name] ?? "The service did not start"}. ${what}`)
}

/** 0 done, 1 failed, 2 a command line that was not understood. */
const teardown: Teardown = (exit, onExit) => {
  const failure = Option.flatMap(Exit.causeOption(exit), Cause.failureOption)
  if (Option.exists(failure, Predicate.isTagged("NotUnderstood"))) onExit(2)
  else defaultTeardown(exit, onExit)
}

// runMain takes the first signal; without a listener the next one would kill the process in the middle of its stop.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => undefined)

BunRuntime.runMain(Effect.tapErrorCause(command, report), {
  disableErrorReporting: true,
  disablePrettyLogger: true,
  teardown,
})
