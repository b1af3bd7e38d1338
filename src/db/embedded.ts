import { BadArgument, type PlatformError, SystemError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import { Effect, Option, Redacted } from "effect"
import { lockFile } from "../file-lock.ts"
import {
  findHome,
  makeFolder,
  partialFolder,
  removeLeftovers,
  type ServerHome,
  serverFolder,
} from "./embedded-home.ts"
import { EmbeddedDatabaseInUse, explain, failed, run } from "./embedded-programs.ts"
import { runningPort, serve } from "./embedded-server.ts"

/** The name of the role and of the database. */
const name = "voice_agent"

/**
 * Starts the PostgreSQL server of `dataDir` (absolute), or adopts the one that a killed process of this service left
 * running. Returns the connection URL when the server accepts connections. The server stops with the scope.
 *
 * Files in `dataDir` (for root elsewhere, see `serverFolder`): `lock`, `postgres.log` (of the current run), and
 * `postgres` (mode 0700) with `cluster` (the data) and `password`.
 *
 * Fails if this machine cannot run the server, if its folder cannot be used, or if another process uses it.
 */
export const startEmbedded = Effect.fn("EmbeddedDatabase.start")(
  function* (options: { readonly dataDir: string }) {
    const fs = yield* FileSystem.FileSystem
    const folder = yield* makeFolder(options.dataDir)
    yield* holdLock(folder)
    const home = yield* findHome(folder)
    if (!(yield* fs.exists(`${folder}/postgres`))) yield* createCluster(home)
    const password = yield* fs.readFileString(`${folder}/postgres/password`)
    const { port, adopted } = yield* serve(home)
    yield* removeLeftovers(home)
    yield* Effect.logInfo("database.ready").pipe(
      Effect.annotateLogs({ folder: `${folder}/postgres`, port, adopted }),
    )
    return urlOf(password, port)
  },
  (effect, { dataDir }) => explainFolder(effect, dataDir),
)

/**
 * Like `startEmbedded`, but uses the server of another process if one runs. That server keeps running after the
 * scope.
 */
export const joinEmbedded = (options: { readonly dataDir: string }) =>
  Effect.catchTag(startEmbedded(options), "EmbeddedDatabaseInUse", () => runningUrl(options))

const runningUrl = Effect.fn("EmbeddedDatabase.runningUrl")(
  function* (options: { readonly dataDir: string }) {
    const fs = yield* FileSystem.FileSystem
    const folder = yield* makeFolder(options.dataDir)
    const port = yield* runningPort({ folder })
    if (Option.isNone(port)) {
      return yield* failed(
        `Another process uses the embedded database in ${folder}, but its server does not run`,
        "Wait until that process has started or ended",
      )
    }
    return urlOf(yield* fs.readFileString(`${folder}/postgres/password`), port.value)
  },
  (effect, { dataDir }) => explainFolder(effect, dataDir),
)

const urlOf = (password: string, port: number) =>
  Redacted.make(`postgres://${name}:${password}@127.0.0.1:${port}/${name}`)

const explainFolder = <A, E, R>(effect: Effect.Effect<A, E | PlatformError, R>, dataDir: string) =>
  Effect.catchIf(effect, isPlatformError, (error) =>
    error._tag === "BadArgument"
      ? Effect.die(error)
      : failed(
          `The embedded database cannot use its folder ${serverFolder(dataDir)}: ${error.message}`,
          "Make sure that this user can write there and that the disk is not full, use another DATA_DIR",
        ),
  )

const isPlatformError = (error: unknown): error is PlatformError =>
  error instanceof BadArgument || error instanceof SystemError

/**
 * Locks the folder from before it is first read until the server has stopped, so that no code here has to handle a
 * second process. A PostgreSQL advisory lock would need a running server, and would be lost when PostgreSQL restarts its
 * backends.
 */
const holdLock = (folder: string) =>
  Effect.mapError(lockFile(`${folder}/lock`), (error) =>
    error._tag === "FileLocked"
      ? new EmbeddedDatabaseInUse(
          explain(
            `Another running process of this service uses the embedded database in ${folder}`,
            "Stop that process, give this one another DATA_DIR",
          ),
        )
      : failed(
          `The lock file ${error.path} cannot be used: ${error.reason}`,
          "Make sure that this user can write there, use another DATA_DIR",
        ),
  )

/** Runs initdb in a temporary folder and renames it at the end, so that an incomplete cluster is never used. */
const createCluster = Effect.fn("EmbeddedDatabase.createCluster")(function* (home: ServerHome) {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* partialFolder(home.folder)
  const passwordFile = `${folder}/password`
  const file = yield* fs.open(passwordFile, { flag: "wx", mode: 0o600 })
  yield* file.writeAll(new TextEncoder().encode(crypto.randomUUID().replaceAll("-", "")))
  // Without this, a power cut could leave a complete cluster and lose its password.
  yield* file.sync
  const { uid, gid } = home.runAs
  if (uid !== undefined && gid !== undefined) {
    // The folder last: root must not open files by name in a folder of another user, who could replace them by links.
    yield* fs.chown(passwordFile, uid, gid)
    yield* fs.chown(folder, uid, gid)
  }
  const options = { cwd: folder, runAs: home.runAs }
  const initdb = [`${home.bin}/initdb`, `--pgdata=${folder}/cluster`]
  const settings = [
    `--username=${name}`,
    `--pwfile=${passwordFile}`,
    "--auth=scram-sha-256",
    // The builtin provider: the same UTF-8 rules on every system, whichever locales it has installed.
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
  ]
  yield* run([...initdb, ...settings, "--no-sync"], options)
  // Single-user mode creates the database before the rename, so the final cluster always has it.
  const flags = ["-c", "exit_on_error=on", "-c", "fsync=off"]
  const singleUser = [`${home.bin}/postgres`, "--single", "-D", `${folder}/cluster`, ...flags, "postgres"]
  yield* run(singleUser, { ...options, stdin: `CREATE DATABASE ${name}\n` })
  // One flush at the end takes milliseconds; flushing each file takes seconds.
  yield* run(
    [...initdb, "--sync-only", ...(process.platform === "linux" ? ["--sync-method=syncfs"] : [])],
    options,
  )
  yield* fs.rename(folder, `${home.folder}/postgres`)
}, Effect.scoped)
