/** The whole service, with a record of what each turn started and left behind. */
import { existsSync, readdirSync, readlinkSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { makeDatabase, type TestDatabase } from "./database.ts"
import { type FfmpegWitness, witnessFfmpeg } from "./ffmpeg-witness.ts"
import { multipart, multipartType } from "./multipart.ts"
import { connectRaw, type RawClient } from "./raw-http.ts"
import { type ConverseOptions, type Service, type ServiceOptions, startService } from "./service.ts"

export interface TurnService extends Service {
  /** Like `converse`, on a bare socket that has sent the whole request. */
  readonly converseRaw: (
    key: string,
    audio: Uint8Array,
    accept?: string,
    options?: Pick<ConverseOptions, "sessionId" | "headers">,
  ) => Promise<RawClient>
  readonly ffmpegs: FfmpegWitness["starts"]
  readonly ffmpegsAlive: FfmpegWitness["alive"]
  readonly ffmpegHangs: FfmpegWitness["hangs"]
  /** The stored sessions and messages of all users. */
  readonly stored: () => Promise<{ readonly sessions: number; readonly messages: number }>
  /** Resolves when `count` turns receive their upload or run. */
  readonly turnsInHand: (count: number) => Promise<void>
  /** Resolves when `count` turns wait for a slot. */
  readonly turnsWaiting: (count: number) => Promise<void>
  /** Resolves when nothing of any turn is left, except for warm ffmpeg processes (0). Rejects with what is left. */
  readonly nothingLeft: (waiting?: number) => Promise<void>
  /** Clears scripts, calls and starts. For `beforeEach`. */
  readonly reset: () => void
}

/** Between two looks of `until`, in ms. Most of what tests wait for comes at once, and a look may ask the database. */
const [firstPause, longestPause] = [2, 20]

/** Polls for the first truthy value. Rejects after `timeoutMs` with `what`. */
export const until = async <T>(
  look: () => T | Promise<T>,
  what: string | (() => string),
  timeoutMs = 20_000,
): Promise<T> => {
  const deadline = performance.now() + timeoutMs
  for (let pause = firstPause; ; pause = Math.min(longestPause, pause * 1.5)) {
    const found = await look()
    if (found) return found
    if (performance.now() > deadline) {
      throw new Error(`waited ${timeoutMs / 1000} s in vain for ${typeof what === "string" ? what : what()}`)
    }
    await Bun.sleep(pause)
  }
}

export const startTurns = async (options: ServiceOptions = {}): Promise<TurnService> => {
  // Before TMPDIR changes, because the server of the test run outlives this service.
  const database = options.database ?? (await makeDatabase())
  const folder = await mkdtemp(join(tmpdir(), "voice-agent-test-"))
  const restoreTmpdir = setTmpdir(folder)
  const ffmpeg = await witnessFfmpeg(folder)
  const service = await startService({
    ...options,
    database,
    env: { FFMPEG_PATH: ffmpeg.path, ...options.env },
  })

  const leftovers = async (waiting: number): Promise<ReadonlyArray<string>> => [
    ...ffmpeg
      .alive()
      .slice(waiting)
      .map((pid) => `ffmpeg ${pid}`),
    ...readdirSync(folder)
      .filter(isTurnFolder)
      .map((name) => `folder ${name}`),
    ...openFiles(folder).map((path) => `open file ${path}`),
    ...(service.upstream.openCalls() > 0 ? [`${service.upstream.openCalls()} calls upstream`] : []),
    ...(await busyConnections(database)),
    // A turn that ended early is saved in the background, after all that it used is released.
    ...(await runningTurns(database)),
  ]

  return {
    ...service,
    converseRaw: async (key, audio, accept = "audio/mpeg", { sessionId, headers } = {}) => {
      const client = await connectRaw(service.url)
      const body = multipart([
        ...(sessionId === undefined ? [] : [{ name: "sessionId", content: sessionId }]),
        { name: "audio", filename: "a.wav", content: audio },
      ])
      const head = {
        host: "localhost",
        authorization: `Bearer ${key}`,
        accept,
        "content-type": multipartType,
        "content-length": `${body.length}`,
        ...headers,
      }
      const lines = Object.entries(head).map(([name, value]) => `${name}: ${value}\r\n`)
      await client.send(
        `POST ${new URL(service.url).pathname}/voice/conversation HTTP/1.1\r\n${lines.join("")}\r\n`,
      )
      await client.send(body)
      return client
    },
    ffmpegs: ffmpeg.starts,
    ffmpegsAlive: ffmpeg.alive,
    ffmpegHangs: ffmpeg.hangs,
    stored: async () => {
      const [counts] = await database.sql`
        select (select count(*)::int from sessions) as sessions, (select count(*)::int from messages) as messages`
      return counts
    },
    turnsInHand: async (count) => {
      await until(() => readdirSync(folder).filter(isTurnFolder).length === count, `${count} turns in hand`)
    },
    turnsWaiting: async (count) => {
      await until(() => service.waiting() === count, `${count} turns that wait`)
    },
    nothingLeft: async (waiting = 0) => {
      let last: ReadonlyArray<string> = []
      await until(
        async () => {
          last = await leftovers(waiting)
          return last.length === 0
        },
        () => `an end of: ${last.join(", ")}`,
      )
    },
    reset: () => {
      service.upstream.reset()
      ffmpeg.reset()
    },
    stop: async () => {
      await service.stop()
      restoreTmpdir()
      await rm(folder, { recursive: true, force: true })
      if (options.database === undefined) await database.drop()
    },
  }
}

/** Changes TMPDIR of this process until the returned function is called. */
export const setTmpdir = (folder: string) => {
  const before = process.env.TMPDIR
  process.env.TMPDIR = folder
  return () => {
    if (before === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = before
  }
}

/** Folders of turns only, not those of the tests. */
export const isTurnFolder = (name: string) => /^voice-agent-\d+-/.test(name)

/** Files of turns that this process holds open, also deleted ones. Linux only. */
const openFiles = (folder: string): ReadonlyArray<string> =>
  existsSync("/proc/self/fd")
    ? readdirSync("/proc/self/fd").flatMap((fd) => {
        try {
          const path = readlinkSync(`/proc/self/fd/${fd}`)
          return path.startsWith(`${folder}/voice-agent-`) &&
            !path.includes("voice-agent-test-", folder.length)
            ? [path]
            : []
        } catch {
          return []
        }
      })
    : []

const busyConnections = async ({ sql }: TestDatabase): Promise<ReadonlyArray<string>> => {
  const rows: ReadonlyArray<{ readonly state: string; readonly query: string }> = await sql`
    select state, query from pg_stat_activity
    where datname = current_database() and application_name = 'voice-agent' and state <> 'idle'`
  return rows.map(({ state, query }) => `database connection, ${state}: ${query}`)
}

const runningTurns = async ({ sql }: TestDatabase): Promise<ReadonlyArray<string>> => {
  const rows: ReadonlyArray<{ readonly id: string }> = await sql`
    select id from turns where state = 'running' and lease_until > now()`
  return rows.map(({ id }) => `running turn ${id}`)
}
