import { defaultTeardown, type Teardown } from "@effect/platform/Runtime"
import * as BunFileSystem from "@effect/platform-bun/BunFileSystem"
import { Cause, Chunk, ConfigError, Console, Effect, Exit, Option, Predicate, Schema } from "effect"
import { suspects } from "../config/dotenv.ts"
import { explainConfigError } from "../config.ts"

/** The command failed; `message` is one sentence for the person who ran it. */
export class CommandFailed extends Schema.TaggedError<CommandFailed>()("CommandFailed", {
  message: Schema.String,
}) {}

/** Everything has been printed; only the exit code is left. 1: failed. 2: invalid command line. */
export class ExitWith extends Schema.TaggedError<ExitWith>()("ExitWith", { code: Schema.Literal(1, 2) }) {}

/** Whether these arguments start the service, which is also the default. */
export const isServe = (args: ReadonlyArray<string>) =>
  args.length === 0 || (args.length === 1 && args[0] === "serve")

/** What did not happen. A command that fails with a sentence of its own needs no other one. */
const opening = (args: ReadonlyArray<string>, isDefect: boolean) => {
  if (args[0] === "migrate") return "The database was not migrated. "
  if (isServe(args)) return "The service did not start. "
  return isDefect ? "The command failed. " : ""
}

const explain = (error: unknown) => {
  if (ConfigError.isConfigError(error)) return explainConfigError(error)
  return Predicate.hasProperty(error, "message") ? `${error.message}` : `${error}`
}

/** Prints a failure as one sentence on stderr; a defect, which is a bug of the service, with its stack. */
export const reportFailure = (args: ReadonlyArray<string>) => (cause: Cause.Cause<unknown>) => {
  const failures = Chunk.toReadonlyArray(Cause.failures(cause))
  if (Cause.isInterruptedOnly(cause) || failures.some(Predicate.isTagged("ExitWith"))) return Effect.void
  const reason = failures.length > 0 ? failures.map(explain).join(" ") : Cause.pretty(cause)
  return Effect.flatMap(failures.some(ConfigError.isConfigError) ? hints : Effect.succeed(""), (hints) =>
    Console.error(`${opening(args, failures.length === 0)}${reason}${hints}`),
  )
}

/** Why a value may be another than the one in .env. */
const hints = suspects.pipe(
  Effect.map((kinds) => kinds.map(({ advice, problem }) => ` Note: ${problem}. ${advice}`).join("")),
  Effect.provide(BunFileSystem.layer),
)

/** A service that is stopped by a signal has not failed; an interrupted command has. */
const isInterruptedCommand = (args: ReadonlyArray<string>, exit: Exit.Exit<unknown, unknown>) =>
  args[0] !== undefined && args[0] !== "serve" && !args[0].startsWith("-") && Exit.isInterrupted(exit)

/** Exit codes: 0 done, 1 failed, 2 invalid command line, 130 interrupted (as shells use it). */
export const teardown =
  (args: ReadonlyArray<string>): Teardown =>
  (exit, onExit) => {
    const failure = Option.flatMap(Exit.causeOption(exit), Cause.failureOption)
    if (Option.isSome(failure) && failure.value instanceof ExitWith) onExit(failure.value.code)
    else if (isInterruptedCommand(args, exit)) onExit(130)
    else defaultTeardown(exit, onExit)
  }
