import { resolve } from "node:path"
import { Either } from "effect"

/**
 * Limit on ffmpeg's writable memory, in bytes. Measured with the largest recordings of every format (25 MB or five
 * minutes, covers of 20 MB, phone videos): 91 MB with Debian 13's 7.1, 43 MB with Debian 12's 5.1, 19 MB with a static
 * build. Nearly all of that is used at the start.
 */
const maxDataBytes = 256 * 1024 ** 2
/**
 * Limit on ffmpeg's address space, libraries included, in bytes. The same builds use 299 MB, 267 MB and 83 MB. It matters
 * on kernels that count only the heap as data (Linux before 4.7, gVisor).
 */
const maxAddressBytes = 1024 ** 3
/** ffmpeg opens 4 files at a time, libraries included. */
const maxOpenFiles = 64

export interface FfmpegBounds {
  /** The path of prlimit, which sets the memory and file limits. Null if the machine has none, as macOS. */
  readonly prlimit: string | null
  /** CPU time of one ffmpeg. A warm one that waits for hours has used only that of its start. */
  readonly cpuSeconds: number
}

export const hostBounds = (): FfmpegBounds => ({ prlimit: Bun.which("prlimit"), cpuSeconds: 20 })

/**
 * The command of every ffmpeg. prlimit sets the limits and replaces itself with ffmpeg. No file can grow beyond 0 bytes.
 * The number of processes has no limit, because that limit is per user and would include the service itself.
 */
const sandboxedCommand = (
  ffmpegPath: string,
  { prlimit, cpuSeconds }: FfmpegBounds,
): ReadonlyArray<string> => [
  ...(prlimit === null
    ? []
    : [
        prlimit,
        `--data=${maxDataBytes}`,
        `--as=${maxAddressBytes}`,
        ...["--fsize=0", "--core=0", `--nofile=${maxOpenFiles}`, "--"],
      ]),
  // Absolute, because ffmpeg runs in another folder and without a PATH.
  resolve(Bun.which(ffmpegPath) ?? ffmpegPath),
  ...["-nostdin", "-hide_banner", "-v", "error", "-timelimit", `${cpuSeconds}`, "-filter_threads", "1"],
]

/** Why an ffmpeg did not succeed. */
export type FfmpegFailure =
  /** It rejected its input, or reached its memory limit. `message` is the end of its standard error. */
  | { readonly _tag: "Failed"; readonly message: string }
  /** It reached its CPU limit. */
  | { readonly _tag: "TooSlow"; readonly message: string }
  /** Another process killed it: the kernel, if the machine has no memory left. */
  | { readonly _tag: "Killed" }

export interface FfmpegProcess {
  readonly pid: number
  readonly stdin: Bun.FileSink
  readonly stdout: ReadableStream<Uint8Array<ArrayBuffer>>
  readonly isAlive: () => boolean
  /** Call once. Rejects if ffmpeg could not be executed, for which no upload is at fault. */
  readonly ended: () => Promise<Either.Either<void, FfmpegFailure>>
  /** Kills ffmpeg and the processes that it started. Resolves once it has exited. */
  readonly kill: () => Promise<void>
}

export type StartFfmpeg = (args: ReadonlyArray<string>) => FfmpegProcess

/**
 * Returns the one function that starts ffmpeg: with limits, without environment variables, in a session of its own. The
 * caller must kill what it starts. It throws if no process can be started.
 *
 * `cwd` is `/`: tmp cleaners never delete it, and an unprivileged process cannot create files there.
 */
export const makeStartFfmpeg = (ffmpegPath: string, bounds = hostBounds()): StartFfmpeg => {
  const command = sandboxedCommand(ffmpegPath, bounds)

  return (args) => {
    const child = Bun.spawn([...command, ...args], {
      stdio: ["pipe", "pipe", "pipe"],
      env: {},
      cwd: "/",
      // A Ctrl-C goes to the terminal's process group, and running turns may finish. If the service is killed, the pipes
      // close, and ffmpeg exits.
      detached: true,
      // The id of the group stays reserved while a process is in it, so this kills only what ffmpeg started.
      onExit: ({ pid }) => killGroup(pid),
    })
    const isAlive = () => child.exitCode === null && child.signalCode === null
    return {
      pid: child.pid,
      stdin: child.stdin,
      stdout: child.stdout,
      isAlive,
      ended: async () => {
        const [log, code] = await Promise.all([tailOf(child.stderr), child.exited])
        if (code === 0) return Either.right(undefined)
        const message = log.trim() || `ffmpeg ended with ${child.signalCode ?? code}`
        // The exit codes of prlimit, shells and the dynamic loader for a program that cannot be executed.
        if (code === 126 || code === 127) throw new Error(`ffmpeg cannot be executed: ${message}`)
        const cpuSeconds = Number(child.resourceUsage()?.cpuTime.total ?? 0) / 1e6
        // The kernel counts the limit in ticks: on a busy machine up to a sixth more than this figure. Hence the half.
        if (cpuSeconds >= bounds.cpuSeconds / 2) return Either.left({ _tag: "TooSlow", message })
        return Either.left(child.signalCode === "SIGKILL" ? { _tag: "Killed" } : { _tag: "Failed", message })
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
    // The group has no processes left.
  }
}

/** The last 500 characters of standard error. For a broken file, ffmpeg may log a line for each frame. */
const tailOf = async (stderr: ReadableStream<Uint8Array<ArrayBuffer>>) => {
  let tail = ""
  for await (const text of stderr.pipeThrough(new TextDecoderStream())) tail = `${tail}${text}`.slice(-500)
  return tail
}

/** Writes all chunks at the speed of the reader. Returns early if the process stops reading: `ended` tells why. */
export const feed = async (stdin: Bun.FileSink, chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) => {
  for await (const chunk of chunks) {
    if (!(await isWritten(() => stdin.write(chunk)))) return
  }
  await isWritten(() => stdin.end())
}

const isWritten = async (write: () => unknown) => {
  try {
    await write()
    return true
  } catch {
    return false
  }
}
