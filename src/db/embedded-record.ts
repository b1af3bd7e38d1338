import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import { Duration, Effect, Option } from "effect"
import { processExists } from "../process.ts"
import type { ServerHome } from "./embedded-home.ts"
import { type EmbeddedDatabaseFailed, failed } from "./embedded-programs.ts"

/** A running server. Its pid alone would not do: once the server has ended, the pid may be somebody else's. */
export interface Server {
  readonly pid: number
  readonly port: number
  /** Fails where that cannot be told. */
  readonly isAlive: Effect.Effect<boolean, EmbeddedDatabaseFailed, FileSystem.FileSystem>
  /** Waits for its end, for as long as the service may run. */
  readonly ended: Effect.Effect<void, never, FileSystem.FileSystem>
}

/**
 * How often a look is taken at an adopted server: whether there is a process of its pid, and whether that is the server,
 * which on macOS takes a program.
 */
const [lookEvery, identifyEvery] = [Duration.millis(250), Duration.seconds(5)]

export type Folder = Pick<ServerHome, "folder">

export const clusterOf = (home: Folder): string => `${home.folder}/postgres/cluster`

/** PostgreSQL's own record of its server: a line each for pid, folder, start time, port, …, and on the 8th its state. */
export const readPidFile = Effect.fnUntraced(function* (home: Folder) {
  const fs = yield* FileSystem.FileSystem
  const text = yield* unlessMissing(fs.readFileString(`${clusterOf(home)}/postmaster.pid`))
  const lines = text.split("\n").map((line) => line.trim())
  const pid = Number(lines[0])
  return pid > 0 ? { pid, port: Number(lines[3]), status: lines[7] ?? "starting" } : undefined
})

/** A recorded server, which is no child of this process. */
export const runningServer = (
  home: Folder,
  { pid, port }: { readonly pid: number; readonly port: number },
) => {
  const isAlive = isServer(home, pid)
  const gone = poll(
    Effect.sync(() => processExists(pid)),
    (is) => !is,
    lookEvery,
  )
  const ended = Effect.gen(function* () {
    while (Option.isNone(yield* Effect.timeoutOption(gone, identifyEvery))) {
      if (!(yield* seemsAlive({ isAlive }))) return
    }
  })
  return { pid, port, isAlive, ended } satisfies Server
}

/** A look that fails, as for want of file descriptors, tells nothing: the next one may. */
export const seemsAlive = ({ isAlive }: Pick<Server, "isAlive">) => Effect.orElseSucceed(isAlive, () => true)

export const isServer = (home: Folder, pid: number) =>
  Effect.map(commandLine(pid), (line) => line.includes(` -D ${clusterOf(home)} `))

/**
 * Of a living process, its arguments joined by blanks; empty where there is none (a zombie has none either). Fails where
 * that cannot be told.
 */
export const commandLine = Effect.fnUntraced(
  function* (pid: number) {
    const fs = yield* FileSystem.FileSystem
    if (process.platform === "linux") {
      const line = yield* unlessMissing(fs.readFileString(`/proc/${pid}/cmdline`))
      return line.replaceAll("\0", " ").trim()
    }
    const ps = ["ps", "-ww", "-o", "command=", "-p", String(pid)]
    const line = yield* Effect.tryPromise(() => Bun.spawn(ps, { stderr: "ignore" }).stdout.text())
    return line.trim()
  },
  // It may end between the opening of the file and its reading.
  Effect.retry({ times: 1 }),
  Effect.mapError(({ message }) =>
    failed(`It cannot be told whether the embedded database still runs: ${message}`),
  ),
)

/** The text of a file, which is empty where there is none. */
const unlessMissing = (text: Effect.Effect<string, PlatformError>) =>
  Effect.catchIf(
    text,
    (error) => error._tag === "SystemError" && error.reason === "NotFound",
    () => Effect.succeed(""),
  )

/** What is seen when it is what is waited for. */
export const poll = Effect.fnUntraced(function* <A, R>(
  look: Effect.Effect<A, never, R>,
  done: (a: A) => boolean,
  pause: Duration.DurationInput = "5 millis",
) {
  while (true) {
    const seen = yield* look
    if (done(seen)) return seen
    yield* Effect.sleep(pause)
  }
})
