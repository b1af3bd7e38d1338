/** The command line, without a process for each command: the start of one costs 0.3 s of CPU. */
import { join } from "node:path"
import type { CommandRequest, CommandResult } from "./command-server.ts"
import { mainFile, newFolder, processEnvironment, startProcess } from "./process.ts"

export interface CommandOptions {
  /** In addition to the environment of every process of the tests. PATH does not count: Bun reads it at its start. */
  readonly env?: Readonly<Record<string, string>>
  /** The working directory. Default: a new, empty folder. Its `.env` is not read. */
  readonly cwd?: string
}

interface Server {
  readonly send: (request: CommandRequest) => Promise<CommandResult>
  readonly stop: () => Promise<void>
}

const startServer = (): Server => {
  let answer = Promise.withResolvers<CommandResult>()
  const child = Bun.spawn([process.execPath, "--no-env-file", join(import.meta.dir, "command-server.ts")], {
    stdio: ["ignore", "inherit", "inherit"],
    ipc: (result: CommandResult) => answer.resolve(result),
  })
  void child.exited.then((code) => answer.reject(new Error(`the process of the commands ended with ${code}`)))
  return {
    send: (request) => {
      answer = Promise.withResolvers()
      child.send(request)
      return answer.promise
    },
    stop: async () => {
      child.disconnect()
      await child.exited
    },
  }
}

let server: Server | undefined
let last: Promise<unknown> = Promise.resolve()

/** Runs `voice-agent` with these arguments, as a process of its own would, after the commands before it. */
export const runCommand = (
  args: ReadonlyArray<string>,
  { env = {}, cwd = newFolder() }: CommandOptions = {},
): Promise<CommandResult> => {
  const run = async () => {
    server ??= startServer()
    return server.send({ args, cwd, env: processEnvironment(env) })
  }
  const result = last.then(run, run)
  last = result
  return result
}

/** The same as a process of its own. */
export const runProcess = async (
  args: ReadonlyArray<string>,
  { env = {}, cwd = newFolder() }: CommandOptions = {},
): Promise<CommandResult> => {
  const child = startProcess({ args: [mainFile, ...args], env, cwd })
  const code = await child.ended
  return { code, stdout: child.stdout(), stderr: child.stderr() }
}

/** For `afterAll`. */
export const stopCommands = async (): Promise<void> => {
  await server?.stop()
  server = undefined
}
