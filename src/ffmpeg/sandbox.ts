import { resolve } from "node:path"
import { Either } from "effect"

/**
 * In bytes, of what an ffmpeg may write to. The largest recordings of every format (25 MB or five minutes, covers of
 * 20 MB, films of phones) were decoded with 91 MB of it by Debian 13's 7.1, with 43 by Debian 12's 5.1 and with 19 by a
 * static build; nearly all of that is its start.
 */
const mostData = 256 * 1024 ** 2
/**
 * In bytes, with the libraries and what is only set aside: 299 MB, 267 and 83 of these builds. It is there for kernels
 * that count no more than the heap as data (Linux before 4.7, gVisor).
 */
const mostAddresses = 1024 ** 3
/** It has 4 open at a time, those of its libraries included. */
const mostFiles = 64

/** What differs between machines, and in tests. */
export interface FfmpegBounds {
  /** What bounds a program on this machine; null where it has none, as macOS. */
  readonly prlimit: string | null
  /** Of CPU, not of waiting: one that is kept for hours has used up its start only. */
  readonly cpuSeconds: number
}

export const boundsHere = (): FfmpegBounds => ({ prlimit: Bun.which("prlimit"), cpuSeconds: 20 })

/**
 * ffmpeg with what any of them is told, and behind prlimit, which becomes it. No file of a size above 0 is written, and
 * no core. Processes are not counted: their bound is one of the user, whom the service itself is.
 */
const confined = (ffmpegPath: string, { prlimit, cpuSeconds }: FfmpegBounds): ReadonlyArray<string> => [
  ...(prlimit === null
    ? []
    : [
        prlimit,
        `--data=${mostData}`,
        `--as=${mostAddresses}`,
        ...["--fsize=0", "--core=0", `--nofile=${mostFiles}`, "--"],
      ]),
  // It runs in another folder, and without a PATH.
  resolve(Bun.which(ffmpegPath) ?? ffmpegPath),
  ...["-nostdin", "-hide_banner", "-v", "error", "-timelimit", `${cpuSeconds}`, "-filter_threads", "1"],
]

/** How one ended that did not do what it was told to. */
export type Ending =
  /** By what it was fed, or for want of memory within its bounds; what it said. */
  | { readonly _tag: "Failed"; readonly said: string }
  /** By its bound on CPU; what it said. */
  | { readonly _tag: "TooSlow"; readonly said: string }
  /** By somebody else: the system, where the machine has no memory left. */
  | { readonly _tag: "Killed" }

/** One ffmpeg. */
export interface FfmpegProcess {
  readonly pid: number
  readonly stdin: Bun.FileSink
  readonly stdout: ReadableStream<Uint8Array<ArrayBuffer>>
  readonly isAlive: () => boolean
  /** Once. Rejects where there is no ffmpeg that runs here: nobody's upload is at fault then. */
  readonly ended: () => Promise<Either.Either<void, Ending>>
  /** With whatever it has started. Resolves when it is gone. */
  readonly kill: () => Promise<void>
}

export type StartFfmpeg = (args: ReadonlyArray<string>) => FfmpegProcess

/**
 * How any ffmpeg is started: with bounds, without an environment, at the root, and in a session of its own. It reads and
 * writes nothing but pipes, unless told to read a file. Nobody removes the root from under a service that runs for
 * weeks, as what is old is removed from TMPDIR; and none but root could make a file there, an empty one within the
 * bounds. Whoever starts one ends it; throws where nothing can be started.
 */
export const makeStartFfmpeg = (ffmpegPath: string, bounds = boundsHere()): StartFfmpeg => {
  const command = confined(ffmpegPath, bounds)

  return (args) => {
    const child = Bun.spawn([...command, ...args], {
      stdio: ["pipe", "pipe", "pipe"],
      env: {},
      cwd: "/",
      // A Ctrl-C in the terminal goes to the whole process group, and turns in flight may finish. What outlives a
      // service that was killed has its input closed, or nobody to write to, and ends.
      detached: true,
      // The number is the group's until nobody is left in it: what it has started ends with it.
      onExit: ({ pid }) => killGroup(pid),
    })
    const isAlive = () => child.exitCode === null && child.signalCode === null
    return {
      pid: child.pid,
      stdin: child.stdin,
      stdout: child.stdout,
      isAlive,
      ended: async () => {
        const [said, code] = await Promise.all([tailOf(child.stderr), child.exited])
        if (code === 0) return Either.right(undefined)
        const words = said.trim() || `ffmpeg ended with ${child.signalCode ?? code}`
        // As shells, prlimit and the system's loader have it: it could not be run.
        if (code === 126 || code === 127) throw new Error(`ffmpeg can't be run: ${words}`)
        const cpuSeconds = Number(child.resourceUsage()?.cpuTime.total ?? 0) / 1e6
        // What bounds it is counted in ticks, and on a busy machine up to a sixth more than what is read here.
        if (cpuSeconds >= bounds.cpuSeconds / 2) return Either.left({ _tag: "TooSlow", said: words })
        return Either.left(
          child.signalCode === "SIGKILL" ? { _tag: "Killed" } : { _tag: "Failed", said: words },
        )
      },
      kill: async () => {
        if (isAlive()) killGroup(child.pid)
        await child.exited
      },
    }
  }
}

const killGroup = (pid: number) => {
  try {
    process.kill(-pid, "SIGKILL")
  } catch {
    // There is nobody in it.
  }
}

/** The last 500 characters; a broken file can be complained about for each of its frames. */
const tailOf = async (stderr: ReadableStream<Uint8Array<ArrayBuffer>>) => {
  let words = ""
  for await (const text of stderr.pipeThrough(new TextDecoderStream())) words = `${words}${text}`.slice(-500)
  return words
}

/** Writes all of it, as fast as it is read. Ends early where ffmpeg has all that it wants, or has failed. */
export const feed = async (stdin: Bun.FileSink, chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) => {
  for await (const chunk of chunks) {
    if (!(await isTaken(() => stdin.write(chunk)))) return
  }
  await isTaken(() => stdin.end())
}

/** False where ffmpeg reads no further; why, its ending tells. */
const isTaken = async (write: () => unknown) => {
  try {
    await write()
    return true
  } catch {
    return false
  }
}
