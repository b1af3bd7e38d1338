import * as FileSystem from "@effect/platform/FileSystem"
import { Duration, Effect, Option, Schedule, Schema } from "effect"
import type { ServerHome } from "./embedded-home.ts"
import {
  cannotStart,
  EmbeddedDatabaseFailed,
  explain,
  failed,
  lastErrors,
  serverEnvironment,
} from "./embedded-programs.ts"
import {
  clusterOf,
  commandLine,
  type Folder,
  isServer,
  mayBeAlive,
  poll,
  readPidFile,
  recordedServer,
  type Server,
} from "./embedded-record.ts"

/** The server ended before it accepted connections. A retry may succeed. */
class ServerEnded extends Schema.TaggedError<ServerEnded>()("ServerEnded", { message: Schema.String }) {}

/** The pause before a restart: the first one, and the longest after repeated failures. */
const [firstPause, longestPause] = [Duration.millis(100), Duration.seconds(30)]

/** A server that ran for this long counts as healthy: the pause starts again at `firstPause`. */
const healthyAfter = Duration.seconds(5)

/**
 * Adopts or starts the server and waits until it accepts connections. The server runs until the scope closes; after a
 * crash, or a kill by the system's out-of-memory killer, it is started again on the same port.
 */
export const serve = Effect.fn("EmbeddedDatabase.serve")(function* (home: ServerHome) {
  const { server, adopted } = yield* adoptOrLaunch(home).pipe(
    // Another program may take the free port before the server does, and the processes of a killed server take a moment
    // to end (about a second on a busy machine). A server that is slow to become ready is not started twice.
    Effect.retry({
      schedule: Schedule.intersect(Schedule.recurs(10), Schedule.spaced("200 millis")),
      while: (error) => error instanceof ServerEnded,
    }),
    Effect.catchTag("ServerEnded", ({ message }) => new EmbeddedDatabaseFailed({ message })),
  )
  yield* Effect.forkScoped(supervise(home, server))
  return { port: server.port, adopted }
})

/**
 * The running server if its command line is the one this version starts (on `port`, if given); otherwise a new
 * server.
 */
const adoptOrLaunch = Effect.fnUntraced(function* (home: ServerHome, port?: number) {
  const recorded = yield* readPidFile(home)
  if (recorded !== undefined && (yield* isServer(home, recorded.pid))) {
    const server = recordedServer(home, recorded)
    const command = serverCommand(home, port ?? server.port).join(" ")
    if ((yield* commandLine(server.pid)) === command && recorded.status !== "stopping") {
      yield* Effect.addFinalizer(() => stop(server))
      yield* awaitReady(home, server)
      return { server, adopted: true }
    }
    // It has the settings of another version of this service, or it is stopping.
    yield* stop(server)
  }
  return { server: yield* launch(home, port ?? freePort()), adopted: false }
})

/** Restarts the server when it ends. Interrupt it before the server is stopped, or the stop counts as a crash. */
const supervise = Effect.fn("EmbeddedDatabase.supervise")(function* (home: ServerHome, first: Server) {
  const untilEnded = (server: Server) =>
    Effect.gen(function* () {
      yield* server.ended
      const reason = lastErrors(yield* readLog(home))
      yield* Effect.logWarning("database.ended").pipe(Effect.annotateLogs({ pid: server.pid, reason }))
    })
  const restart = Effect.scoped(
    Effect.gen(function* () {
      const { server, adopted } = yield* adoptOrLaunch(home, first.port)
      yield* Effect.logInfo("database.ready").pipe(
        Effect.annotateLogs({ folder: `${home.folder}/postgres`, port: server.port, adopted }),
      )
      yield* untilEnded(server)
    }),
  ).pipe(
    Effect.catchAllCause((cause) => Effect.logError("database.start_failed", cause)),
    Effect.timed,
  )
  yield* untilEnded(first)
  let pause = firstPause
  while (true) {
    yield* Effect.sleep(pause)
    const [ran] = yield* restart
    pause = Duration.greaterThan(ran, healthyAfter)
      ? firstPause
      : Duration.min(Duration.times(pause, 2), longestPause)
  }
})

/** The port of the server that another process runs. Waits up to 30 s for a server that is starting. */
export const runningPort = Effect.fn("EmbeddedDatabase.runningPort")(function* (home: Folder) {
  const readyPort = Effect.gen(function* () {
    const recorded = yield* readPidFile(home)
    const isReady = recorded?.status === "ready" && (yield* isServer(home, recorded.pid))
    return isReady ? Option.some(recorded.port) : Option.none()
  }).pipe(Effect.orElseSucceed(() => Option.none()))
  const port = yield* poll(readyPort, Option.isSome).pipe(Effect.timeoutOption("30 seconds"))
  return Option.flatten(port)
})

/**
 * Starts the server in a session of its own: a Ctrl-C in the terminal goes to the whole process group, and the server
 * must run until the open requests are finished.
 */
const launch = Effect.fn("EmbeddedDatabase.launch")(function* (home: ServerHome, port: number) {
  const fs = yield* FileSystem.FileSystem
  const stalePid = (yield* readPidFile(home))?.pid
  const command = serverCommand(home, port)
  const spawn = Effect.gen(function* () {
    const log = yield* fs.open(`${home.folder}/postgres.log`, { flag: "w", mode: 0o600 })
    return yield* Effect.try({
      try: () =>
        Bun.spawn(command, {
          ...home.runAs,
          cwd: clusterOf(home),
          // After a crash of the machine, or in a new container, another process may have the recorded pid, and
          // PostgreSQL would refuse to start. With this variable, which pg_ctl sets too, it ignores the pid and still
          // checks that no process uses the old server's shared memory. Deleting the file would skip that check.
          env: { ...serverEnvironment(), ...(stalePid && { PG_GRANDPARENT_PID: String(stalePid) }) },
          stdio: ["ignore", log.fd, log.fd],
          detached: true,
        }),
      catch: (cause) => cannotStart(command[0], cause),
    })
  })
  const start = Effect.map(Effect.scoped(spawn), (child): Server => {
    // A server that does not stop must not keep this process running: the next start adopts it.
    child.unref()
    const isAlive = Effect.sync(() => child.exitCode === null && child.signalCode === null)
    return { pid: child.pid, port, isAlive, ended: Effect.promise(() => child.exited) }
  })
  const server = yield* Effect.acquireRelease(start, stop)
  yield* awaitReady(home, server)
  return server
})

const serverCommand = (home: ServerHome, port: number): Array<string> => [
  `${home.bin}/postgres`,
  "-D",
  clusterOf(home),
  ...[
    `port=${port}`,
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=200",
    "timezone=UTC",
    "log_timezone=UTC",
    // Above ERROR: the client gets the error of a failed statement, and its text and values may contain transcripts.
    "log_min_messages=log",
    "log_checkpoints=off",
  ].flatMap((setting) => ["-c", setting]),
]

const freePort = (): number => {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } })
  listener.stop(true)
  return listener.port
}

const awaitReady = Effect.fn("EmbeddedDatabase.awaitReady")(function* (home: ServerHome, server: Server) {
  const readState = Effect.gen(function* () {
    const recorded = yield* Effect.orElseSucceed(readPidFile(home), () => undefined)
    // Compares the port too: in a container, a new server is likely to get the pid of a crashed one.
    if (recorded?.pid === server.pid && recorded.port === server.port && recorded.status === "ready")
      return "ready"
    return (yield* mayBeAlive(server)) ? "starting" : "ended"
  })
  // Two minutes: replaying 1 GB of WAL (max_wal_size) after a crash, on a slow disk.
  const state = yield* poll(readState, (state) => state !== "starting").pipe(
    Effect.timeoutOption("2 minutes"),
  )
  if (Option.contains(state, "ready")) return
  const reason = lastErrors(yield* readLog(home))
  const database = `The embedded database in ${home.folder}/postgres`
  if (Option.isNone(state)) return yield* failed(`${database} was not ready after two minutes: ${reason}`)
  return yield* new ServerEnded(explain(`${database} did not start: ${reason}`))
})

const readLog = (home: Folder) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) =>
    Effect.orElseSucceed(fs.readFileString(`${home.folder}/postgres.log`), () => ""),
  )

/** Stops the server within 16 s. A fast shutdown rolls back open transactions and keeps committed ones. */
const stop = Effect.fn("EmbeddedDatabase.stop")(function* (server: Server) {
  const signalAndWait = Effect.fnUntraced(function* (
    signal: "SIGINT" | "SIGQUIT",
    timeout: Duration.DurationInput,
  ) {
    const isAlive = yield* Effect.option(server.isAlive)
    if (Option.contains(isAlive, false)) return true
    // No signal if the process cannot be identified: it may be another program.
    if (Option.isSome(isAlive)) yield* Effect.ignore(Effect.try(() => process.kill(server.pid, signal)))
    const ended = poll(mayBeAlive(server), (is) => !is).pipe(
      Effect.interruptible,
      Effect.timeoutOption(timeout),
    )
    return Option.isSome(yield* ended)
  })
  if (yield* signalAndWait("SIGINT", "10 seconds")) return
  // Immediate shutdown: PostgreSQL kills its processes after 5 s, and the next start recovers from the WAL.
  if (yield* signalAndWait("SIGQUIT", "6 seconds")) return
  yield* Effect.logWarning("database.stop_failed").pipe(Effect.annotateLogs({ pid: server.pid }))
})
