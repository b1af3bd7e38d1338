#!/usr/bin/env bun
import { defaultTeardown, type Teardown } from "@effect/platform/Runtime"
import * as BunRuntime from "@effect/platform-bun/BunRuntime"
import { Cause, Chunk, ConfigError, Console, Effect, Exit, Option, Predicate } from "effect"
import { Ended } from "./cli/exit-code.ts"
import { serve } from "./cli/serve.ts"
import { explainConfigError } from "./config.ts"

const args = process.argv.slice(2)
const isService = args.length === 0 || (args.length === 1 && args[0] === "serve")

/** The service does without what reads command lines, which costs 50 ms and 5 MB. */
const command = isService
  ? serve
  : Effect.flatMap(
      Effect.promise(() => import("./cli/command-line.ts")),
      ({ commandLine }) => commandLine(args),
    )

/** What the start of each command's sentence of failure is. */
const opening = (name: string) => {
  if (name === "migrate") return "The database was not migrated"
  return isService ? "The service did not start" : "The command failed"
}

const explain = (error: unknown) => {
  if (ConfigError.isConfigError(error)) return explainConfigError(error)
  return Predicate.hasProperty(error, "message") ? `${error.message}` : `${error}`
}

const isEnded = Predicate.isTagged("Ended")

/** What is wrong in one sentence; only a defect, which is a mistake in the service itself, comes with its stack. */
const report = (cause: Cause.Cause<unknown>) => {
  const failures = Chunk.toReadonlyArray(Cause.failures(cause))
  if (Cause.isInterruptedOnly(cause) || failures.some(isEnded)) return Effect.void
  const what = failures.length > 0 ? failures.map(explain).join(" ") : Cause.pretty(cause)
  return Console.error(`${opening(args[0] ?? "serve")}. ${what}`)
}

/** Of a service, to be told to stop is no failure; of what was asked for and not done, it is. */
const isBrokenOff = (exit: Exit.Exit<unknown, unknown>) =>
  args[0] !== undefined && args[0] !== "serve" && !args[0].startsWith("-") && Exit.isInterrupted(exit)

/** 0 done, 1 failed, 2 a command line that was not understood, 130 (as shells have it) broken off. */
const teardown: Teardown = (exit, onExit) => {
  const failure = Option.flatMap(Exit.causeOption(exit), Cause.failureOption)
  if (Option.exists(failure, Predicate.isTagged("NotUnderstood"))) onExit(2)
  else if (Option.isSome(failure) && failure.value instanceof Ended) onExit(failure.value.code)
  else if (isBrokenOff(exit)) onExit(130)
  else defaultTeardown(exit, onExit)
}

// runMain takes the first signal; without a listener the next one would kill the process in the middle of its stop, as
// would one that asks for the status before the service listens to it, or when it does no more.
for (const signal of ["SIGINT", "SIGTERM", "SIGUSR2"] as const) process.on(signal, () => undefined)

BunRuntime.runMain(Effect.tapErrorCause(command, report), {
  disableErrorReporting: true,
  disablePrettyLogger: true,
  teardown,
})
