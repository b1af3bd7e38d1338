/**
 * A separate process that runs the embedded database of the folder in its first argument until it is stopped.
 * Prints the connection URL or the error message as its only line.
 */
import * as BunContext from "@effect/platform-bun/BunContext"
import * as BunRuntime from "@effect/platform-bun/BunRuntime"
import { Console, Effect, Logger, LogLevel, Redacted } from "effect"
import { startEmbedded } from "../../src/db/embedded.ts"

const program = startEmbedded({ dataDir: process.argv[2] ?? "" }).pipe(
  Effect.matchEffect({
    onSuccess: (url) => Effect.zipRight(Console.log(Redacted.value(url)), Effect.never),
    onFailure: (error) => Console.log(error.message),
  }),
  Effect.scoped,
  Logger.withMinimumLogLevel(LogLevel.None),
  Effect.provide(BunContext.layer),
)

BunRuntime.runMain(program)
