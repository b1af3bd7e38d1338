import * as FileSystem from "@effect/platform/FileSystem"
import { Duration, Effect, Option, Schedule } from "effect"
import type { ServerHome } from "./embedded-home.ts"
import { cannotStart, failed, lastWords, serverEnvironment } from "./embedded-programs.ts"

/** A running server. Its pid alone would not do: once the server has ended, the pid may be somebody else's. */
interface Server {
  readonly pid: number
  readonly port: number
  readonly isAlive: Effect.Effect<boolean, never, FileSystem.FileSystem>
}

/** How often a look is taken whether the server still runs. */
const lookEvery = Duration.millis(250)

/** Before the server is started again: at first, and at most where it ends or fails to start each time. */
const [firstPause, longestPause] = [Duration.millis(100), Duration.seconds(30)]

/** A server that ran for so long was well: its end is a first one. */
const steady = Duration.seconds(5)

/**
 * Adopts or starts the server and waits until it takes connections. It runs until the scope ends: where it ended before
 * (a crash, the system's out-of-memory killer), it is started again on the same port.
 */
export const serve = Effect.fn("EmbeddedDatabase.serve")(function* (home: ServerHome) {
  const { server, adopted } = yield* adoptOrLaunch(home)
  yield* Effect.forkScoped(supervise(home, server))
  return { port: server.port, adopted }
})

const adoptOrLaunch = Effect.fnUntraced(function* (home: ServerHome) {
  const recorded = yield* readPidFile(home)
  if (recorded !== undefined) {
    const server: Server = { ...recorded, isAlive: isServer(home, recorded.pid) }
    const asWeWould = (yield* commandLine(server.pid)) === serverCommand(home, server.port).join(" ")
    if (asWeWould && recorded.status !== "stopping") {
      yield* Effect.addFinalizer(() => stop(server))
      yield* awaitReady(home, server)
      return { server, adopted: true }
    }
    // If it runs at all, it is of another version or other settings of this service, or on its way out.
    yield* stop(server)
  }
  const server = yield* Effect.retry(
    Effect.suspend(() => launch(home, freePort())),
    // Somebody may take the free port before the server does, and the processes of one that was killed need a moment, which
    // on a machine that has much else to do is a second.
    { schedule: Schedule.intersect(Schedule.recurs(10), Schedule.spaced("200 millis")) },
  )
  return { server, adopted: false }
})

/** Never ends: to be interrupted before the server is stopped, so that this is not taken for a crash. */
const supervise = Effect.fn("EmbeddedDatabase.supervise")(function* (home: ServerHome, first: Server) {
  const untilEnded = (server: Server) =>
    Effect.gen(function* () {
      yield* poll(server.isAlive, (is) => !is, lookEvery)
      const reason = lastWords(yield* readLog(home))
      yield* Effect.logWarning("embedded database ended").pipe(
        Effect.annotateLogs({ pid: server.pid, reason }),
      )
    })
  const again = Effect.scoped(
    Effect.gen(function* () {
      const server = yield* launch(home, first.port)
      yield* Effect.logInfo("embedded database ready").pipe(
        Effect.annotateLogs({ folder: `${home.folder}/postgres`, port: server.port, adopted: false }),
      )
      yield* untilEnded(server)
    }),
  ).pipe(
    Effect.catchAllCause((cause) => Effect.logError("embedded database not started", cause)),
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
  })
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
    return { pid: child.pid, port, isAlive }
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

type Folder = Pick<ServerHome, "folder">

const isServer = (home: Folder, pid: number) =>
  Effect.map(commandLine(pid), (line) => line.includes(` -D ${clusterOf(home)} `))

const clusterOf = (home: Folder): string => `${home.folder}/postgres/cluster`

const freePort = (): number => {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } })
  listener.stop(true)
  return listener.port
}

const awaitReady = Effect.fn("EmbeddedDatabase.awaitReady")(function* (home: ServerHome, server: Server) {
  const look = Effect.gen(function* () {
    const recorded = yield* readPidFile(home)
    // The port too: in a container, a crashed server's pid is likely to come up again.
    if (recorded?.pid === server.pid && recorded.port === server.port && recorded.status === "ready")
      return "ready"
    return (yield* server.isAlive) ? "starting" : "ended"
  })
  // Two minutes: replaying 1 GB of WAL (max_wal_size) after a crash, on a slow disk.
  const outcome = yield* poll(look, (state) => state !== "starting").pipe(Effect.timeoutOption("2 minutes"))
  if (Option.contains(outcome, "ready")) return
  const said = lastWords(yield* readLog(home))
  return yield* failed(
    `The embedded database in ${home.folder}/postgres ${Option.isNone(outcome) ? "was not ready after two minutes" : "did not start"}: ${said}`,
  )
})

const readLog = (home: Folder) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) =>
    Effect.orElseSucceed(fs.readFileString(`${home.folder}/postgres.log`), () => ""),
  )

/** Fast shutdown: open transactions are rolled back, what was committed is on disk. Takes 16 s at the very most. */
const stop = Effect.fn("EmbeddedDatabase.stop")(function* (server: Server) {
  const ask = Effect.fnUntraced(function* (signal: "SIGINT" | "SIGQUIT", patience: Duration.DurationInput) {
    if (!(yield* server.isAlive)) return true
    yield* Effect.ignore(Effect.try(() => process.kill(server.pid, signal)))
    const ended = poll(server.isAlive, (is) => !is).pipe(Effect.interruptible, Effect.timeoutOption(patience))
    return Option.isSome(yield* ended)
  })
  if (yield* ask("SIGINT", "10 seconds")) return
  // Immediate shutdown: it gives its processes 5 s, then kills them, and the next start recovers from the WAL.
  if (yield* ask("SIGQUIT", "6 seconds")) return
  yield* Effect.logWarning("embedded database did not stop").pipe(Effect.annotateLogs({ pid: server.pid }))
})

const poll = Effect.fnUntraced(function* <A, R>(
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

/** Of a living process, its arguments joined by blanks; empty where there is none (a zombie has none either). */
const commandLine = Effect.fnUntraced(function* (pid: number) {
  const fs = yield* FileSystem.FileSystem
  if (process.platform === "linux") {
    const line = yield* fs.readFileString(`/proc/${pid}/cmdline`).pipe(Effect.orElseSucceed(() => ""))
    return line.replaceAll("\0", " ").trim()
  }
  const ps = Effect.tryPromise(() =>
    Bun.spawn(["ps", "-ww", "-o", "command=", "-p", String(pid)], { stderr: "ignore" }).stdout.text(),
  )
  return (yield* Effect.orElseSucceed(ps, () => "")).trim()
})

/** PostgreSQL's own record of its server: a line each for pid, folder, start time, port, …, and on the 8th its state. */
const readPidFile = Effect.fnUntraced(function* (home: Folder) {
  const fs = yield* FileSystem.FileSystem
  const text = yield* fs
    .readFileString(`${clusterOf(home)}/postmaster.pid`)
    .pipe(Effect.orElseSucceed(() => ""))
  const lines = text.split("\n").map((line) => line.trim())
  const pid = Number(lines[0])
  return pid > 0 ? { pid, port: Number(lines[3]), status: lines[7] ?? "starting" } : undefined
})
