#!/usr/bin/env bun
import * as BunRuntime from "@effect/platform-bun/BunRuntime"
import { Effect } from "effect"
import { isServe, reportFailure, teardown } from "./cli/exit-code.ts"
import { serve } from "./cli/serve.ts"
import { bypassProxyForLoopback } from "./config/loopback.ts"

bypassProxyForLoopback(process.env)

const args = process.argv.slice(2)

/** The service starts without the command line's parser, which costs 50 ms and 5 MB. */
const program = isServe(args)
  ? serve
  : Effect.flatMap(
      Effect.promise(() => import("./cli/command-line.ts")),
      ({ commandLine }) => commandLine(args),
    )

// runMain handles the first signal. Without these listeners a second one would kill the process during its shutdown, as
// would a SIGUSR2 (status) before the service handles it or during the shutdown.
for (const signal of ["SIGINT", "SIGTERM", "SIGUSR2"] as const) process.on(signal, () => undefined)

BunRuntime.runMain(Effect.tapErrorCause(program, reportFailure(args)), {
  disableErrorReporting: true,
  disablePrettyLogger: true,
  teardown: teardown(args),
})
