import * as FileSystem from "@effect/platform/FileSystem"
import { Duration, Effect, Option, Schedule, Schema } from "effect"
import type { ServerHome } from "./embedded-home.ts"
import {
  cannotStart,
  EmbeddedDatabaseFailed,
  explained,
  failed,
  lastWords,
  serverEnvironment,
} from "./embedded-programs.ts"
import {
  clusterOf,
  commandLine,
  type Folder,
  isServer,
  poll,
  readPidFile,
  runningServer,
  type Server,
  seemsAlive,
} from "./embedded-record.ts"

/** It ended before it took connections. What was in its way may be gone at the next try. */
class ServerEnded extends Schema.TaggedError<ServerEnded>()("ServerEnded", { message: Schema.String }) {}

/** Before the server is started again: at first, and at most where it ends or fails to start each time. */
const [firstPause, longestPause] = [Duration.millis(100), Duration.seconds(30)]

/** A server that ran for so long was well: its end is a first one. */
const steady = Duration.seconds(5)

/**
 * Adopts or starts the server and waits until it takes connections. It runs until the scope ends: where it ended before
 * (a crash, the system's out-of-memory killer), it is started again on the same port.
 */
export const serve = Effect.fn("EmbeddedDatabase.serve")(function* (home: ServerHome) {
  const { server, adopted } = yield* adoptOrLaunch(home).pipe(
    // Somebody may take the free port before the server does, and the processes of one that was killed need a moment, which
    // on a machine that has much else to do is a second. One that is not ready yet still runs, and is not started twice.
    Effect.retry({
      schedule: Schedule.intersect(Schedule.recurs(10), Schedule.spaced("200 millis")),
      while: (error) => error instanceof ServerEnded,
    }),
    Effect.catchTag("ServerEnded", ({ message }) => new EmbeddedDatabaseFailed({ message })),
  )
  yield* Effect.forkScoped(supervise(home, server))
  return { port: server.port, adopted }
})

/** The server that runs, if one runs as it would be started (on the given port, else on any), else a new one. */
const adoptOrLaunch = Effect.fnUntraced(function* (home: ServerHome, port?: number) {
  const recorded = yield* readPidFile(home)
  if (recorded !== undefined && (yield* isServer(home, recorded.pid))) {
    const server = runningServer(home, recorded)
    const command = serverCommand(home, port ?? server.port).join(" ")
    if ((yield* commandLine(server.pid)) === command && recorded.status !== "stopping") {
      yield* Effect.addFinalizer(() => stop(server))
      yield* awaitReady(home, server)
      return { server, adopted: true }
    }
    // Of another version or other settings of this service, or on its way out.
    yield* stop(server)
  }
  return { server: yield* launch(home, port ?? freePort()), adopted: false }
})

/** Never ends: to be interrupted before the server is stopped, so that this is not taken for a crash. */
const supervise = Effect.fn("EmbeddedDatabase.supervise")(function* (home: ServerHome, first: Server) {
  const untilEnded = (server: Server) =>
    Effect.gen(function* () {
      yield* server.ended
      const reason = lastWords(yield* readLog(home))
      yield* Effect.logWarning("database.ended").pipe(Effect.annotateLogs({ pid: server.pid, reason }))
    })
  const again = Effect.scoped(
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
    const [ran] = yield* again
    pause = Duration.greaterThan(ran, steady)
      ? firstPause
      : Duration.min(Duration.times(pause, 2), longestPause)
  }
})

/** The port of the server that another process runs; waits for up to 30 s where it is only starting. */
export const runningPort = Effect.fn("EmbeddedDatabase.runningPort")(function* (home: Folder) {
  const look = Effect.gen(function* () {
    const recorded = yield* readPidFile(home)
    const isReady = recorded?.status === "ready" && (yield* isServer(home, recorded.pid))
    return isReady ? Option.some(recorded.port) : Option.none()
  }).pipe(Effect.orElseSucceed(() => Option.none()))
  const found = yield* poll(look, Option.isSome).pipe(Effect.timeoutOption("30 seconds"))
  return Option.flatten(found)
})

/**
 * In a session of its own: a Ctrl-C in the terminal goes to the whole process group, and the server must outlive the
 * requests that are being finished.
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
          // After a crash of the machine, or in a new container, the recorded pid may be anybody's. PostgreSQL would then
          // take the data for in use. Told that it is its own grandparent, as pg_ctl does, it passes over the pid, and
          // still checks that no process is attached to the old server's shared memory. Deleting the file would skip that.
          env: { ...serverEnvironment(), ...(stalePid && { PG_GRANDPARENT_PID: String(stalePid) }) },
          stdio: ["ignore", log.fd, log.fd],
          detached: true,
        }),
      catch: (cause) => cannotStart(command[0], cause),
    })
  })
  const start = Effect.map(Effect.scoped(spawn), (child): Server => {
    // A server that would not stop must not keep this process from ending: the next start adopts it.
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
    // Above ERROR: a failed statement is told to its caller; in a log its text and values could be what people said.
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
  const look = Effect.gen(function* () {
    const recorded = yield* Effect.orElseSucceed(readPidFile(home), () => undefined)
    // The port too: in a container, a crashed server's pid is likely to come up again.
    if (recorded?.pid === server.pid && recorded.port === server.port && recorded.status === "ready")
      return "ready"
    return (yield* seemsAlive(server)) ? "starting" : "ended"
  })
  // Two minutes: replaying 1 GB of WAL (max_wal_size) after a crash, on a slow disk.
  const outcome = yield* poll(look, (state) => state !== "starting").pipe(Effect.timeoutOption("2 minutes"))
  if (Option.contains(outcome, "ready")) return
  const said = lastWords(yield* readLog(home))
  const what = `The embedded database in ${home.folder}/postgres`
  if (Option.isNone(outcome)) return yield* failed(`${what} was not ready after two minutes: ${said}`)
  return yield* new ServerEnded(explained(`${what} did not start: ${said}`))
})

const readLog = (home: Folder) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) =>
    Effect.orElseSucceed(fs.readFileString(`${home.folder}/postgres.log`), () => ""),
  )

/** Fast shutdown: open transactions are rolled back, what was committed is on disk. Takes 16 s at the very most. */
const stop = Effect.fn("EmbeddedDatabase.stop")(function* (server: Server) {
  const ask = Effect.fnUntraced(function* (signal: "SIGINT" | "SIGQUIT", patience: Duration.DurationInput) {
    const isAlive = yield* Effect.option(server.isAlive)
    if (Option.contains(isAlive, false)) return true
    // Whoever cannot be told to be the server is sent nothing.
    if (Option.isSome(isAlive)) yield* Effect.ignore(Effect.try(() => process.kill(server.pid, signal)))
    const ended = poll(seemsAlive(server), (is) => !is).pipe(
      Effect.interruptible,
      Effect.timeoutOption(patience),
    )
    return Option.isSome(yield* ended)
  })
  if (yield* ask("SIGINT", "10 seconds")) return
  // Immediate shutdown: it gives its processes 5 s, then kills them, and the next start recovers from the WAL.
  if (yield* ask("SIGQUIT", "6 seconds")) return
  yield* Effect.logWarning("database.stop_failed").pipe(Effect.annotateLogs({ pid: server.pid }))
})
