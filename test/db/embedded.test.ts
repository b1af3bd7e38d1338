import { afterAll, describe, expect, test } from "bun:test"
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  renameSync,
  statSync,
  symlinkSync,
} from "node:fs"
import { rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { SystemError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as BunContext from "@effect/platform-bun/BunContext"
import {
  Chunk,
  Effect,
  Exit,
  Fiber,
  Layer,
  Logger,
  LogLevel,
  Option,
  Redacted,
  Schedule,
  Scope,
  TestClock,
  TestContext,
} from "effect"
import { joinEmbedded, startEmbedded } from "../../src/db/embedded.ts"
import { linkOrCopy, serverFolder } from "../../src/db/embedded-home.ts"

const asRoot = process.getuid?.() === 0
/** The user `nobody`, for tests of an ordinary user when the tests run as root. */
const nobody = 65534
const checkout = join(import.meta.dir, "../..")
const folders: Array<string> = []
const children: Array<Bun.Subprocess> = []

/** A data folder in a mkdtemp folder, which no other user may enter (mode 0700). */
const newDataDir = (owner?: number): string => {
  const folder = mkdtempSync(join(tmpdir(), "voice-agent-db-"))
  if (owner !== undefined) chownSync(folder, owner, owner)
  folders.push(folder)
  return join(folder, ".data")
}

afterAll(async () => {
  // Left over by tests that failed.
  for (const child of children) if (child.exitCode === null) child.kill()
  await Promise.all(children.map((child) => child.exited))
  const all = folders.flatMap((folder) => [serverFolder(join(folder, ".data")), folder])
  // Concurrently: on a disk mounted with `discard`, each takes seconds.
  await Promise.all(all.map((folder) => rm(folder, { recursive: true, force: true })))
}, 60_000)

const run = <A, E>(effect: Effect.Effect<A, E, BunContext.BunContext | Scope.Scope>): Promise<A> =>
  effect.pipe(
    Effect.scoped,
    Logger.withMinimumLogLevel(LogLevel.None),
    Effect.provide(BunContext.layer),
    Effect.runPromise,
  )

/** The real file system with some methods replaced. */
const withFiles =
  (change: (files: FileSystem.FileSystem) => Partial<FileSystem.FileSystem>) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.provideServiceEffect(
      effect,
      FileSystem.FileSystem,
      Effect.map(FileSystem.FileSystem, (files) => ({ ...files, ...change(files) })),
    )

/** The error of a process that has reached its limit of open files. */
const tooManyFiles = new SystemError({
  module: "FileSystem",
  method: "open",
  reason: "Unknown",
  description: "EMFILE: too many open files",
})

const started = (dataDir: string) => Effect.map(startEmbedded({ dataDir }), Redacted.value)

const query = (url: string, statement: string): Effect.Effect<unknown> =>
  Effect.acquireUseRelease(
    Effect.sync(() => new Bun.SQL(url, { max: 1 })),
    (sql) => Effect.promise(async () => [...(await sql.unsafe(statement).values())].flat()),
    (sql) => Effect.promise(() => sql.close()),
  )

/** The command lines of the living processes that have the data folder in their arguments. */
const processesOf = async (dataDir: string): Promise<ReadonlyArray<string>> => {
  const folder = `${serverFolder(dataDir)}/postgres/cluster`
  const ofLinux = (pid: string) =>
    Bun.file(`/proc/${pid}/cmdline`)
      .text()
      .then((line) => line.replaceAll("\0", " "))
      .catch(() => "")
  // Not ps on Linux: small container images have none.
  const lines =
    process.platform === "linux"
      ? await Promise.all(readdirSync("/proc").filter(Number).map(ofLinux))
      : (await Bun.spawn(["ps", "-Aww", "-o", "command="]).stdout.text()).split("\n")
  return lines.filter((line) => line.includes(folder))
}

const serverPid = async (dataDir: string): Promise<number> =>
  Number.parseInt(await Bun.file(`${serverFolder(dataDir)}/postgres/cluster/postmaster.pid`).text(), 10)

/** Another process that runs the embedded database. `firstLine` is its URL or its error message. */
const hold = (dataDir: string, options: { uid?: number; gid?: number; detached?: boolean } = {}) => {
  const child = Bun.spawn(
    [process.execPath, join(import.meta.dir, "../support/embedded-holder.ts"), dataDir],
    {
      ...options,
      stdout: "pipe",
      stderr: "inherit",
      env: { PATH: process.env.PATH ?? "", HOME: tmpdir() },
    },
  )
  children.push(child)
  const firstLine = (async () => {
    let text = ""
    for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
      text += chunk
      if (text.includes("\n")) break
    }
    return text.trim()
  })()
  return { child, firstLine }
}

describe("the embedded database", () => {
  const dataDir = newDataDir()

  test("uses UTF-8, UTC, loopback and a password", async () => {
    const seen = await run(
      Effect.gen(function* () {
        const url = yield* started(dataDir)
        const settings = yield* query(
          url,
          `select current_setting('server_encoding'), current_setting('TimeZone'), current_setting('listen_addresses'),
             current_setting('fsync'), current_setting('max_connections'), upper('žluťoučký'), current_database(), current_user`,
        )
        const stranger = new URL(url)
        stranger.password = "guess"
        const refused = yield* Effect.exit(query(stranger.href, "select 1"))
        return { settings, refused: Exit.isFailure(refused) }
      }),
    )
    expect(seen).toEqual({
      settings: ["UTF8", "UTC", "127.0.0.1", "on", "200", "ŽLUŤOUČKÝ", "voice_agent", "voice_agent"],
      refused: true,
    })
    expect(statSync(`${serverFolder(dataDir)}/postgres`).mode & 0o777).toBe(0o700)
    expect(statSync(`${serverFolder(dataDir)}/postgres/password`).mode & 0o777).toBe(0o600)
  }, 60_000)

  test("keeps its data and leaves no process", async () => {
    await run(
      Effect.flatMap(started(dataDir), (url) => query(url, "create table kept as select 'ahoj 👋' as word")),
    )
    expect(await processesOf(dataDir)).toEqual([])
    const words = await run(Effect.flatMap(started(dataDir), (url) => query(url, "select word from kept")))
    expect(words).toEqual(["ahoj 👋"])
    expect(await processesOf(dataDir)).toEqual([])
  }, 60_000)

  test("adopts the server of a killed process", async () => {
    const first = hold(dataDir)
    await run(query(await first.firstLine, "insert into kept values ('said before the kill')"))
    const pid = await serverPid(dataDir)
    first.child.kill("SIGKILL")
    await first.child.exited

    const words = await run(
      Effect.gen(function* () {
        const url = yield* started(dataDir)
        expect(url).toBe(yield* Effect.promise(() => first.firstLine))
        expect(yield* Effect.promise(() => serverPid(dataDir))).toBe(pid)
        return yield* query(url, "select word from kept order by word desc limit 1")
      }),
    )
    expect(words).toEqual(["said before the kill"])
    expect(await processesOf(dataDir)).toEqual([])
  }, 60_000)

  test("a second start fails while the first runs", async () => {
    const first = hold(dataDir)
    const url = await first.firstLine
    const second = hold(dataDir)
    const message = await second.firstLine
    expect(message).toContain("Another running process")
    expect(message).toContain(` ${serverFolder(dataDir)}. `)
    expect(message).toContain("DATABASE_URL")
    expect(await second.child.exited).toBe(0)
    // The first one still works.
    expect(await run(query(url, "select 1"))).toEqual([1])

    first.child.kill("SIGTERM")
    await first.child.exited
    expect(await processesOf(dataDir)).toEqual([])
    const same = await run(Effect.zipRight(started(dataDir), Effect.flip(startEmbedded({ dataDir }))))
    expect(same.message).toBe(message)
  }, 60_000)

  test("a folder that cannot be used is named", async () => {
    const unusable = withFiles(() => ({ makeDirectory: () => Effect.fail(tooManyFiles) }))
    for (const start of [startEmbedded, joinEmbedded]) {
      const error = await run(unusable(Effect.flip(start({ dataDir: "/srv/voice/data" }))))
      expect(error.message).toContain(` ${serverFolder("/srv/voice/data")}: `)
    }
  })

  test("a command joins a running server or starts its own", async () => {
    const join = Effect.flatMap(joinEmbedded({ dataDir }), (url) =>
      Effect.map(query(Redacted.value(url), "select 1"), (rows) => ({ url: Redacted.value(url), rows })),
    )
    const first = hold(dataDir)
    const url = await first.firstLine
    expect(await run(join)).toEqual({ url, rows: [1] })
    expect(await run(query(url, "select 1"))).toEqual([1])
    first.child.kill("SIGTERM")
    await first.child.exited
    expect(await processesOf(dataDir)).toEqual([])
    expect((await run(join)).rows).toEqual([1])
    expect(await processesOf(dataDir)).toEqual([])
  }, 60_000)

  test("ignores a Ctrl-C in the service's terminal", async () => {
    const first = hold(dataDir, { detached: true })
    const url = await first.firstLine
    const pid = await serverPid(dataDir)
    // It leads a process group of its own.
    expect(process.kill(-pid, 0)).toBe(true)
    expect(await run(query(url, "select 1"))).toEqual([1])
    process.kill(-first.child.pid, "SIGINT")
    await first.child.exited
    expect(await processesOf(dataDir)).toEqual([])
  }, 60_000)

  test("starts over a stale postmaster.pid", async () => {
    const pidFile = `${serverFolder(dataDir)}/postgres/cluster/postmaster.pid`
    const { uid, gid } = statSync(`${serverFolder(dataDir)}/postgres`)
    const left = hold(dataDir)
    await left.firstLine
    const record = await Bun.file(pidFile).text()
    left.child.kill("SIGTERM")
    await left.child.exited
    // As after a crash of the machine: a process of the same user has the pid, so PostgreSQL would refuse to start.
    const other = Bun.spawn(["sleep", "600"], asRoot ? { uid, gid } : {})
    children.push(other)
    const vacant = Bun.spawn(["true"])
    await vacant.exited
    for (const pid of [other.pid, vacant.pid]) {
      await Bun.write(pidFile, record.replace(/^\d+/, String(pid)))
      chownSync(pidFile, uid, gid)
      chmodSync(pidFile, 0o600)
      expect(await run(Effect.flatMap(started(dataDir), (url) => query(url, "select 1")))).toEqual([1])
    }
    expect(other.exitCode).toBeNull()
    other.kill()
    await other.exited
  }, 60_000)

  test.if(asRoot)("as root: runs as another user, from a copy", async () => {
    const folder = serverFolder(dataDir)
    expect(existsSync(dataDir)).toBe(false)
    expect(statSync(`${folder}/postgres`).uid).not.toBe(0)
    const [command] = await run(
      Effect.zipRight(
        started(dataDir),
        Effect.promise(() => processesOf(dataDir)),
      ),
    )
    expect(command).toStartWith(`${folder}/postgresql-`)
  })
})

describe("the programs for another user", () => {
  /** The link count of a file of `from` after it is linked or copied, and the target of its relative link. */
  const place = async (from: string) => {
    folders.push(from)
    const to = mkdtempSync(join(tmpdir(), "voice-agent-db-"))
    folders.push(to)
    mkdirSync(join(from, "native"))
    await Bun.write(join(from, "native/program"), "#!/bin/sh\n")
    symlinkSync("program", join(from, "native/link"))
    await run(linkOrCopy(join(from, "native"), join(to, "native")))
    expect(await Bun.file(join(to, "native/program")).text()).toBe("#!/bin/sh\n")
    expect(readlinkSync(join(to, "native/link"))).toBe("program")
    expect(readdirSync(join(to, "native")).toSorted()).toEqual(["link", "program"])
    return statSync(join(to, "native/program")).nlink
  }

  test("are hard links", async () => {
    expect(await place(mkdtempSync(join(tmpdir(), "voice-agent-db-")))).toBe(2)
  })

  const otherDisk = "/dev/shm"
  const isAnother = existsSync(otherDisk) && statSync(otherDisk).dev !== statSync(tmpdir()).dev
  test.if(isAnother)("are copies from another file system", async () => {
    expect(await place(mkdtempSync(join(otherDisk, "voice-agent-db-")))).toBe(1)
  })
})

describe("supervision", () => {
  const dataDir = newDataDir()
  const pid = Effect.promise(() => serverPid(dataDir))
  const answers = (url: string) =>
    query(url, "select 1").pipe(Effect.sandbox, Effect.retry(Schedule.spaced("20 millis")))
  const untilAnother = (than: number) =>
    pid.pipe(
      // Between the end of the old server and the start of the new one, there is no postmaster.pid.
      Effect.catchAllDefect(() => Effect.succeed(than)),
      Effect.repeat({ until: (now) => now !== than && !Number.isNaN(now) }),
    )

  /** A logger that collects the log lines with their fields. */
  const listen = () => {
    const lines: Array<Readonly<Record<string, unknown>>> = []
    const logger = Logger.make(({ message, annotations }) => {
      lines.push({ event: `${message}`, ...Object.fromEntries(annotations) })
    })
    return { lines, layer: Logger.replace(Logger.defaultLogger, logger) }
  }
  const logged = <A, E>(
    effect: (
      lines: ReadonlyArray<Readonly<Record<string, unknown>>>,
    ) => Effect.Effect<A, E, BunContext.BunContext | Scope.Scope>,
  ) => {
    const { lines, layer } = listen()
    return effect(lines).pipe(
      Effect.scoped,
      Effect.as(lines),
      Effect.provide(Layer.merge(layer, BunContext.layer)),
      Effect.runPromise,
    )
  }
  const events = (lines: ReadonlyArray<Readonly<Record<string, unknown>>>) => lines.map(({ event }) => event)
  /** The server accepts connections a moment before `database.ready` is logged. */
  const untilLogged = (holds: () => boolean) =>
    Effect.repeat(Effect.sleep("20 millis"), { until: () => holds() })

  test("restarts a crashed server with its URL and data", async () => {
    const lines = await logged((lines) =>
      Effect.gen(function* () {
        const url = yield* started(dataDir)
        yield* query(url, "create table kept as select 'said before the crash' as word")
        for (const signal of ["SIGKILL", "SIGQUIT", "SIGKILL"] as const) {
          const before = yield* pid
          const seen = lines.length
          process.kill(before, signal)
          yield* untilLogged(() => events(lines.slice(seen)).includes("database.ready"))
          expect(yield* pid).not.toBe(before)
          expect(yield* query(url, "select word from kept")).toEqual(["said before the crash"])
        }
      }),
    )
    expect(events(lines).filter((event) => event === "database.ended")).toHaveLength(3)
    expect(lines).toContainEqual({
      event: "database.ended",
      pid: expect.any(Number),
      reason: expect.any(String),
    })
    expect(lines.at(-1)).toMatchObject({ event: "database.ready", adopted: false })
    expect(await processesOf(dataDir)).toEqual([])
  })

  test("restarts an adopted server", async () => {
    const left = hold(dataDir)
    const url = await left.firstLine
    left.child.kill("SIGKILL")
    await left.child.exited
    await run(
      Effect.gen(function* () {
        expect(yield* started(dataDir)).toBe(url)
        const before = yield* pid
        process.kill(before, "SIGKILL")
        yield* untilAnother(before)
        yield* answers(url)
      }),
    )
    expect(await processesOf(dataDir)).toEqual([])
  })

  test("retries failed restarts and logs each failure", async () => {
    const cluster = `${serverFolder(dataDir)}/postgres/cluster`
    const lines = await logged((lines) =>
      Effect.gen(function* () {
        const url = yield* started(dataDir)
        renameSync(`${cluster}/global`, `${cluster}/elsewhere`)
        process.kill(yield* pid, "SIGKILL")
        yield* untilLogged(() => events(lines).includes("database.start_failed"))
        renameSync(`${cluster}/elsewhere`, `${cluster}/global`)
        yield* untilLogged(() => events(lines).at(-1) === "database.ready")
        expect(yield* query(url, "select 1")).toEqual([1])
      }),
    )
    expect(events(lines).slice(0, 3)).toEqual(["database.ready", "database.ended", "database.start_failed"])
    expect(await processesOf(dataDir)).toEqual([])
  })

  test("adopts a server that another process started", async () => {
    const folder = serverFolder(dataDir)
    let isFull = false
    const lines = await logged((lines) =>
      Effect.gen(function* () {
        const url = yield* started(dataDir)
        const [command = ""] = yield* Effect.promise(() => processesOf(dataDir))
        const { uid, gid } = statSync(`${folder}/postgres`)
        const byHand = () => {
          const child = Bun.spawn(command.trim().split(" "), {
            ...(asRoot ? { uid, gid } : {}),
            cwd: `${folder}/postgres/cluster`,
            env: { LC_ALL: "C" },
            stdio: ["ignore", "ignore", "ignore"],
          })
          children.push(child)
          return child
        }
        isFull = true
        process.kill(yield* pid, "SIGKILL")
        yield* untilLogged(() => events(lines).includes("database.start_failed"))
        let server = byHand()
        yield* untilLogged(() => {
          // The processes of the killed server may still hold its shared memory.
          if (server.exitCode !== null) server = byHand()
          return events(lines).at(-1) === "database.ready"
        })
        expect(yield* pid).toBe(server.pid)
        expect(yield* query(url, "select 1")).toEqual([1])
      }).pipe(
        withFiles((files) => ({
          open: (path, options) =>
            isFull && path.endsWith("postgres.log") ? tooManyFiles : files.open(path, options),
        })),
      ),
    )
    expect(lines.at(-1)).toMatchObject({ event: "database.ready", adopted: true })
    expect(await processesOf(dataDir)).toEqual([])
  })

  test.if(process.platform === "linux")("a start fails if the process cannot be identified", async () => {
    const left = hold(dataDir)
    const url = await left.firstLine
    const server = await serverPid(dataDir)
    left.child.kill("SIGKILL")
    await left.child.exited
    const blind = Effect.flip(startEmbedded({ dataDir })).pipe(
      withFiles((files) => ({
        readFileString: (path, encoding) =>
          path.endsWith("/cmdline") ? tooManyFiles : files.readFileString(path, encoding),
      })),
    )
    expect((await run(blind)).message).toContain("state of the embedded database's process cannot be read")
    await run(
      Effect.gen(function* () {
        expect(yield* started(dataDir)).toBe(url)
        expect(yield* pid).toBe(server)
      }),
    )
    expect(await processesOf(dataDir)).toEqual([])
  })

  test("a start that takes too long fails", async () => {
    const moment = Effect.promise(() => Bun.sleep(2))
    const message = await run(
      Effect.gen(function* () {
        let isLaunched = false
        const scope = yield* Scope.make()
        const starting = yield* startEmbedded({ dataDir }).pipe(
          // The server never becomes ready: its postmaster.pid cannot be read.
          withFiles((files) => ({
            open: (path, options) => {
              isLaunched ||= path.endsWith("postgres.log")
              return files.open(path, options)
            },
            readFileString: (path, encoding) =>
              isLaunched && path.endsWith("postmaster.pid")
                ? Effect.never
                : files.readFileString(path, encoding),
          })),
          Scope.extend(scope),
          Effect.flip,
          Effect.fork,
        )
        while (!Chunk.contains(yield* TestClock.sleeps(), 120_000)) yield* moment
        yield* TestClock.adjust("2 minutes")
        const failure = yield* Fiber.join(starting)
        const stopping = yield* Effect.fork(Scope.close(scope, Exit.void))
        while (Option.isNone(yield* Fiber.poll(stopping)))
          yield* Effect.zip(TestClock.adjust("5 millis"), moment)
        return failure.message
      }).pipe(Effect.provide(TestContext.TestContext)),
    )
    expect(message).toContain("was not ready after two minutes")
    expect(await processesOf(dataDir)).toEqual([])
  })

  test("a normal stop logs nothing and restarts nothing", async () => {
    const lines = await logged(() => Effect.zipRight(started(dataDir), Effect.sleep("300 millis")))
    expect(events(lines)).toEqual(["database.ready"])
    expect(await processesOf(dataDir)).toEqual([])
  })

  test("a killed backend is left to PostgreSQL", async () => {
    const lines = await logged(() =>
      Effect.gen(function* () {
        const url = yield* started(dataDir)
        const server = yield* pid
        const killed = yield* Effect.exit(query(url, "copy (select 1) to program 'kill -9 $PPID; sleep 1'"))
        expect(Exit.isFailure(killed)).toBe(true)
        yield* answers(url)
        expect(yield* pid).toBe(server)
      }),
    )
    expect(events(lines)).toEqual(["database.ready"])
  })
})

test("a killed first start is repeated", async () => {
  const dataDir = newDataDir()
  const first = hold(dataDir, { detached: true })
  const files = () =>
    existsSync(serverFolder(dataDir)) ? readdirSync(serverFolder(dataDir), { recursive: true }) : []
  while (!files().some((file) => String(file).endsWith("cluster/PG_VERSION"))) await Bun.sleep(2)
  process.kill(-first.child.pid, "SIGKILL")
  await first.child.exited
  expect(files()).not.toContain("postgres")

  expect(await run(Effect.flatMap(started(dataDir), (url) => query(url, "select 1")))).toEqual([1])
  expect(files().filter((file) => String(file).startsWith(".partial-"))).toEqual([])
}, 60_000)

/** False if another user cannot enter the folder of bun or of the checkout, such as root's home. */
const isReachable = () => {
  try {
    return Bun.spawnSync([process.execPath, "-e", `await import("${checkout}/src/db/embedded-home.ts")`], {
      uid: nobody,
      gid: nobody,
      cwd: "/",
      env: { HOME: tmpdir() },
      stderr: "ignore",
    }).success
  } catch {
    return false
  }
}

test.if(asRoot && isReachable())(
  "as an ordinary user: runs in the data folder",
  async () => {
    const dataDir = newDataDir(nobody)
    const first = hold(dataDir, { uid: nobody, gid: nobody })
    expect(await run(query(await first.firstLine, "select 1"))).toEqual([1])
    expect(readdirSync(dataDir).toSorted()).toEqual(["lock", "postgres", "postgres.log"])
    expect(statSync(`${dataDir}/postgres`).uid).toBe(nobody)
    first.child.kill("SIGTERM")
    await first.child.exited
    expect(existsSync(`${dataDir}/postgres/cluster/postmaster.pid`)).toBe(false)
  },
  60_000,
)
