/**
 * Runs commands of the command line for `runCommand`, one after the other, each with its own environment and folder. As
 * `src/main.ts` runs them, without the start of a process.
 */
import { format } from "node:util"
import { Effect } from "effect"
import { commandLine } from "../../src/cli/command-line.ts"
import { isServe, reportFailure, teardown } from "../../src/cli/exit-code.ts"
import { serve } from "../../src/cli/serve.ts"
import { bypassProxyForLoopback } from "../../src/config/loopback.ts"

export interface CommandRequest {
  readonly args: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
}

export interface CommandResult {
  /** The exit code, or the signal that ended the process. */
  readonly code: number | NodeJS.Signals
  readonly stdout: string
  readonly stderr: string
}

const said = { stdout: "", stderr: "" }

const capture = (name: "stdout" | "stderr") => {
  const print = (...parts: ReadonlyArray<unknown>) => {
    said[name] += `${format(...parts)}\n`
  }
  const write = (text: string | Uint8Array) => {
    said[name] += typeof text === "string" ? text : Buffer.from(text).toString()
    return true
  }
  Object.assign(process[name], { write })
  return print
}

const replaceEnvironment = (env: CommandRequest["env"]) => {
  for (const name of Object.keys(process.env)) delete process.env[name]
  Object.assign(process.env, env)
  bypassProxyForLoopback(process.env)
}

const runCommand = async ({ args, env, cwd }: CommandRequest): Promise<CommandResult> => {
  process.chdir(cwd)
  replaceEnvironment(env)
  Object.assign(said, { stdout: "", stderr: "" })
  const program = isServe(args) ? serve : commandLine(args)
  const exit = await Effect.runPromiseExit(Effect.tapErrorCause(program, reportFailure(args)))
  // Each command adds a listener.
  for (const stream of [process.stdout, process.stderr]) stream.removeAllListeners("error")
  const ended = Promise.withResolvers<number>()
  teardown(args)(exit, ended.resolve)
  return { code: await ended.promise, ...said }
}

if (import.meta.main) {
  const out = capture("stdout")
  const err = capture("stderr")
  Object.assign(console, { log: out, info: out, debug: out, error: err, warn: err })
  process.on("message", async (request: CommandRequest) => process.send?.(await runCommand(request)))
  process.on("disconnect", () => process.exit())
}
