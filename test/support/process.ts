/**
 * The service as its operator runs it: a separate process. Tests wait for lines of its output.
 *
 *     const service = startProcess({ env: { DATABASE_URL: database.url } })
 *     const url = await service.url()
 *     service.signal("SIGTERM")
 *     expect(await service.ended).toBe(0)
 */
import { rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { serverFolder } from "../../src/db/embedded-home.ts"
import { withoutLimits } from "./limits.ts"
import { tempFolder } from "./temp-folders.ts"
import { Watch } from "./upstream-calls.ts"

export interface ProcessOptions {
  /**
   * Its environment, in addition to PATH, HOME, HOST, PORT (a free one), LOG_DIR (no files), FFMPEG_WARM and WARM_UP_TURNS
   * (none) and the limits (none).
   */
  readonly env?: Record<string, string>
  /** The arguments of `bun`. Default: the service. */
  readonly args?: ReadonlyArray<string>
  /** The working directory. Default: a new, empty folder. */
  readonly cwd?: string
}

/** One line of the JSON log. */
export type LogRecord = Readonly<Record<string, unknown>>

export interface ServiceProcess {
  readonly pid: number
  readonly cwd: string
  readonly stdout: () => string
  readonly stderr: () => string
  /** The console log, for NODE_ENV=production. */
  readonly records: () => ReadonlyArray<LogRecord>
  /** Resolves with the first match in the output when there are `times` matches. Rejects if the process ends before. */
  readonly says: (what: RegExp, times?: number) => Promise<RegExpMatchArray>
  /** Resolves with `http://127.0.0.1:PORT` when it listens. */
  readonly url: () => Promise<string>
  readonly signal: (signal: NodeJS.Signals) => void
  /** The exit code, or the signal that ended it, after the whole output was read. */
  readonly ended: Promise<number | NodeJS.Signals>
}

/** The source of the service. For tests about what Bun makes of it. */
export const sourceFile = join(import.meta.dir, "../../src/main.ts")

/** The service in one file, which starts faster, where `bun run check` has built it. */
export const mainFile = process.env.TEST_PROGRAM || sourceFile

/**
 * Code runs without the tiers of JavaScriptCore that compile it again, optimized. For the seconds that a process of a test
 * lives, that takes a third of its CPU time: 0.27 s for a start of the service instead of 0.42 s.
 */
export const withoutOptimizer = { BUN_JSC_useDFGJIT: "0" }

/** The longest wait for a line of output, on a busy machine. */
const timeoutMs = 20_000

const running = new Set<Bun.Subprocess>()
const folders = new Set<string>()

export const newFolder = (): string => {
  const folder = tempFolder("process")
  folders.add(folder)
  return folder
}

/** For `afterAll`: ends the processes of failed tests, and removes the folders with their databases. */
export const cleanUpProcesses = async (): Promise<void> => {
  for (const child of running) child.kill("SIGKILL")
  await Promise.all([...running].map((child) => child.exited))
  const all = [...folders].flatMap((folder) => [serverFolder(join(folder, ".data")), folder])
  await Promise.all(all.map((folder) => rm(folder, { recursive: true, force: true })))
  folders.clear()
}

/** Parses every line. Throws if a line is not JSON. */
export const parseLog = (text: string): ReadonlyArray<LogRecord> =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line))

/** The environment of a process of the tests. */
export const processEnvironment = (
  env: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> => ({
  // No Ollama of this machine.
  OLLAMA: "off",
  PATH: process.env.PATH ?? "",
  HOME: tmpdir(),
  HOST: "127.0.0.1",
  PORT: "0",
  LOG_DIR: "",
  // Most processes decode nothing that needs an ffmpeg, and each start of one costs 0.06 s of CPU.
  FFMPEG_WARM: "0",
  // Each rehearsed turn costs 0.04 s.
  WARM_UP_TURNS: "0",
  // As the launcher has it.
  MIMALLOC_PURGE_HOLES_MIN_INTERVAL: "5000",
  ...withoutOptimizer,
  ...withoutLimits,
  ...env,
})

export const startProcess = ({
  env = {},
  args = [mainFile],
  cwd = newFolder(),
}: ProcessOptions = {}): ServiceProcess => {
  const said = { stdout: "", stderr: "" }
  const watch = new Watch()
  let over = false
  const child = Bun.spawn([process.execPath, ...args], {
    cwd,
    env: { ...processEnvironment(env) },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  })
  running.add(child)

  const read = async (from: "stdout" | "stderr") => {
    for await (const text of child[from].pipeThrough(new TextDecoderStream())) {
      said[from] += text
      watch.changed()
    }
  }
  const ended = Promise.all([child.exited, read("stdout"), read("stderr")]).then(([code]) => {
    running.delete(child)
    over = true
    watch.changed()
    return child.signalCode ?? code
  })

  const says: ServiceProcess["says"] = async (what, times = 1) => {
    const look = () => {
      const matches = [...`${said.stdout}${said.stderr}`.matchAll(new RegExp(what, `${what.flags}g`))]
      return matches.length >= times || over ? matches : undefined
    }
    const matches = await watch
      .for(look, `${what}`, timeoutMs)
      .catch((): ReadonlyArray<RegExpExecArray> => [])
    const [first] = matches
    if (first === undefined || matches.length < times) {
      throw new Error(`The process did not say ${what} (${times}) but:\n${said.stdout}${said.stderr}`)
    }
    return first
  }

  return {
    pid: child.pid,
    cwd,
    stdout: () => said.stdout,
    stderr: () => said.stderr,
    records: () => parseLog(said.stdout),
    says,
    url: async () => (await says(/server\.listening\b.*?(http:\/\/[\w.:[\]-]+)/))[1] ?? "",
    signal: (signal) => child.kill(signal),
    ended,
  }
}
