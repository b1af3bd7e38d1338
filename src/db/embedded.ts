import { Database, SQLiteError } from "bun:sqlite"
import { BadArgument, type PlatformError, SystemError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import { Effect, Option, Redacted } from "effect"
import { findHome, makeFolder, partialFolder, type ServerHome, tidy } from "./embedded-home.ts"
import { EmbeddedDatabaseInUse, explained, failed, run } from "./embedded-programs.ts"
import { runningPort, serve } from "./embedded-server.ts"

/** The name of the role and of the database. */
const name = "voice_agent"

/**
 * Starts the PostgreSQL server of `dataDir` (absolute), or adopts the one that a killed process of ours left
 * running; it stops with the scope. Succeeds with its connection URL when it takes connections.
 *
 * On disk, in `dataDir` (for root elsewhere, see `serverFolder`): `lock`, `postgres.log` (of the current run), and
 * `postgres` (mode 0700) with `cluster` (the data) and `password`.
 *
 * Fails where this machine cannot run it, where its folder cannot be used, and where another process uses it.
 */
export const startEmbedded = Effect.fn("EmbeddedDatabase.start")(
  function* (options: { readonly dataDir: string }) {
    const fs = yield* FileSystem.FileSystem
    const folder = yield* makeFolder(options.dataDir)
    yield* holdLock(folder, options.dataDir)
    const home = yield* findHome(folder)
    if (!(yield* fs.exists(`${folder}/postgres`))) yield* createCluster(home)
    const password = yield* fs.readFileString(`${folder}/postgres/password`)
    const { port, adopted } = yield* serve(home)
    yield* tidy(home)
    yield* Effect.logInfo("database.ready").pipe(
      Effect.annotateLogs({ folder: `${folder}/postgres`, port, adopted }),
    )
    return urlOf(password, port)
  },
  (effect, { dataDir }) => explainFolder(effect, dataDir),
)

/** As `startEmbedded`; but where another process has the server running, that one is used, and goes on after the scope. */
export const joinEmbedded = (options: { readonly dataDir: string }) =>
  Effect.catchTag(startEmbedded(options), "EmbeddedDatabaseInUse", () => runningUrl(options))

const runningUrl = Effect.fn("EmbeddedDatabase.runningUrl")(
  function* (options: { readonly dataDir: string }) {
    const fs = yield* FileSystem.FileSystem
    const folder = yield* makeFolder(options.dataDir)
    const port = yield* runningPort({ folder })
    if (Option.isNone(port)) {
      return yield* failed(
        `The process that uses the embedded database of ${options.dataDir} has no server running there`,
        "Wait until it has started, or has ended",
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
          `The embedded database cannot use its folder: ${error.message}`,
          `Give this user the right to write there and enough free space, choose another DATA_DIR than ${dataDir}`,
        ),
  )

const isPlatformError = (error: unknown): error is PlatformError =>
  error instanceof BadArgument || error instanceof SystemError

/**
 * Held from before the first look at the folder until after the server has stopped, so that nothing here has to think
 * of a second process doing the same.
 *
 * The lock is SQLite's exclusive lock on an empty file, because that is the one way in which Bun can take a lock of
 * the kernel (fcntl): it ends with the process, `kill -9` included; there is no stale owner to recognise and no race to take
 * over; it works on Linux and macOS, and between containers that share a volume, whose process ids mean nothing to each other.
 * A PostgreSQL advisory lock would have to wait for the server, and would be lost whenever PostgreSQL restarts its backends.
 */
const holdLock = (folder: string, dataDir: string) =>
  Effect.acquireRelease(
    Effect.try({
      try: () => {
        const file = new Database(`${folder}/lock`)
        try {
          file.run("PRAGMA journal_mode = MEMORY")
          file.run("BEGIN EXCLUSIVE")
          return file
        } catch (cause) {
          file.close()
          throw cause
        }
      },
      catch: (cause) =>
        cause instanceof SQLiteError && cause.code === "SQLITE_BUSY"
          ? new EmbeddedDatabaseInUse(
              explained(
                `Another running process of this service already uses the embedded database of ${dataDir}`,
                "Stop that one, give this one another DATA_DIR",
              ),
            )
          : failed(
              `The lock file ${folder}/lock cannot be used: ${cause}`,
              `Choose another DATA_DIR than ${dataDir}`,
            ),
    }),
    (file) => Effect.sync(() => file.close()),
  )

/** initdb in a folder of its own, which gets its real name when all is done: a half-made one is never adopted. */
const createCluster = Effect.fn("EmbeddedDatabase.createCluster")(function* (home: ServerHome) {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* partialFolder(home.folder)
  const passwordFile = `${folder}/password`
  const file = yield* fs.open(passwordFile, { flag: "wx", mode: 0o600 })
  yield* file.writeAll(new TextEncoder().encode(crypto.randomUUID().replaceAll("-", "")))
  // Without it a power cut could leave a good cluster whose password nobody knows.
  yield* file.sync
  const { uid, gid } = home.runAs
  if (uid !== undefined && gid !== undefined) {
    // The folder last: in a folder of another user, root should write nothing by name.
    yield* fs.chown(passwordFile, uid, gid)
    yield* fs.chown(folder, uid, gid)
  }
  const place = { cwd: folder, runAs: home.runAs }
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
  yield* run([...initdb, ...settings, "--no-sync"], place)
  // In single-user mode, so that a cluster without the database never exists under the real name.
  const settled = ["-c", "exit_on_error=on", "-c", "fsync=off"]
  const single = [`${home.bin}/postgres`, "--single", "-D", `${folder}/cluster`, ...settled, "postgres"]
  yield* run(single, { ...place, stdin: `CREATE DATABASE ${name}\n` })
  // All of it is written to the disk now, once: file by file it would take seconds where a flush takes milliseconds.
  yield* run(
    [...initdb, "--sync-only", ...(process.platform === "linux" ? ["--sync-method=syncfs"] : [])],
    place,
  )
  yield* fs.rename(folder, `${home.folder}/postgres`)
}, Effect.scoped)
