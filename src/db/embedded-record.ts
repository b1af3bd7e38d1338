import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import { Duration, Effect, Option } from "effect"
import { processExists } from "../process.ts"
import type { ServerHome } from "./embedded-home.ts"
import { type EmbeddedDatabaseFailed, failed } from "./embedded-programs.ts"

/** A running PostgreSQL server. Its pid alone does not identify it: after it ended, another process may get the pid. */
export interface Server {
  readonly pid: number
  readonly port: number
  /** Fails if the state of the process cannot be read. */
  readonly isAlive: Effect.Effect<boolean, EmbeddedDatabaseFailed, FileSystem.FileSystem>
  /** Resolves when the server has ended. */
  readonly ended: Effect.Effect<void, never, FileSystem.FileSystem>
}

/**
 * How often an adopted server is checked: that a process has its pid, and that this process is the server. The second
 * check runs a program on macOS.
 */
const [checkPidEvery, identifyEvery] = [Duration.millis(250), Duration.seconds(5)]

export type Folder = Pick<ServerHome, "folder">

export const clusterOf = (home: Folder): string => `${home.folder}/postgres/cluster`

/** Reads PostgreSQL's own record of its server. Its lines: pid, folder, start time, port, …; the 8th is the state. */
export const readPidFile = Effect.fnUntraced(function* (home: Folder) {
  const fs = yield* FileSystem.FileSystem
  const text = yield* emptyIfMissing(fs.readFileString(`${clusterOf(home)}/postmaster.pid`))
  const lines = text.split("\n").map((line) => line.trim())
  const pid = Number(lines[0])
  return pid > 0 ? { pid, port: Number(lines[3]), status: lines[7] ?? "starting" } : undefined
})

/** The server of a record; not a child of this process. */
export const recordedServer = (
  home: Folder,
  { pid, port }: { readonly pid: number; readonly port: number },
) => {
  const isAlive = isServer(home, pid)
  const gone = poll(
    Effect.sync(() => processExists(pid)),
    (is) => !is,
    checkPidEvery,
  )
  const ended = Effect.gen(function* () {
    while (Option.isNone(yield* Effect.timeoutOption(gone, identifyEvery))) {
      if (!(yield* mayBeAlive({ isAlive }))) return
    }
  })
  return { pid, port, isAlive, ended } satisfies Server
}

/** True if the check fails, for example for lack of file descriptors: the next check may succeed. */
export const mayBeAlive = ({ isAlive }: Pick<Server, "isAlive">) => Effect.orElseSucceed(isAlive, () => true)

export const isServer = (home: Folder, pid: number) =>
  Effect.map(commandLine(pid), (line) => line.includes(` -D ${clusterOf(home)} `))

/** The arguments of a process, joined by spaces. Empty if there is no such process, or if it is a zombie. */
export const commandLine = Effect.fnUntraced(
  function* (pid: number) {
    const fs = yield* FileSystem.FileSystem
    if (process.platform === "linux") {
      const line = yield* emptyIfMissing(fs.readFileString(`/proc/${pid}/cmdline`))
      return line.replaceAll("\0", " ").trim()
    }
    const ps = ["ps", "-ww", "-o", "command=", "-p", String(pid)]
    const line = yield* Effect.tryPromise(() => Bun.spawn(ps, { stderr: "ignore" }).stdout.text())
    return line.trim()
  },
  // The process may end between opening the file and reading it.
  Effect.retry({ times: 1 }),
  Effect.mapError(({ message }) =>
    failed(`The state of the embedded database's process cannot be read: ${message}`),
  ),
)

/** An empty text if the file does not exist. */
const emptyIfMissing = (text: Effect.Effect<string, PlatformError>) =>
  Effect.catchIf(
    text,
    (error) => error._tag === "SystemError" && error.reason === "NotFound",
    () => Effect.succeed(""),
  )

/** Runs `read` until its value satisfies `done`, and returns this value. */
export const poll = Effect.fnUntraced(function* <A, R>(
  read: Effect.Effect<A, never, R>,
  done: (a: A) => boolean,
  pause: Duration.DurationInput = "5 millis",
) {
  while (true) {
    const value = yield* read
    if (done(value)) return value
    yield* Effect.sleep(pause)
  }
})
