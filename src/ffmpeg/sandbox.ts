import { resolve } from "node:path"
import { Either } from "effect"
import { type Limits, limited, startConfined, tailOf } from "./confined.ts"

/** Measured with the largest recordings of every format: 25 MB or five minutes, covers of 20 MB, phone videos. */
const limits: Limits = {
  // 91 MB with Debian 13's 7.1, 43 MB with Debian 12's 5.1, 19 MB with a static build, nearly all of it at the start.
  dataBytes: 256 * 1024 ** 2,
  // The same builds use 299 MB, 267 MB and 83 MB.
  addressBytes: 1024 ** 3,
  fileBytes: 0,
  // It opens 4 at a time.
  openFiles: 64,
}

export interface FfmpegBounds {
  /** The path of prlimit, which sets the memory and file limits. Null if the machine has none, as macOS. */
  readonly prlimit: string | null
  /** CPU time of one ffmpeg. A warm one that waits for hours has used only that of its start. */
  readonly cpuSeconds: number
}

export const hostBounds = (): FfmpegBounds => ({ prlimit: Bun.which("prlimit"), cpuSeconds: 20 })

/** The command of every ffmpeg. It limits its CPU time by itself, and says so. */
const sandboxedCommand = (ffmpegPath: string, { prlimit, cpuSeconds }: FfmpegBounds): ReadonlyArray<string> =>
  limited(prlimit, limits, [
    // Absolute, because ffmpeg runs in another folder and without a PATH.
    resolve(Bun.which(ffmpegPath) ?? ffmpegPath),
    ...["-nostdin", "-hide_banner", "-v", "error", "-timelimit", `${cpuSeconds}`, "-filter_threads", "1"],
  ])

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

/** Returns the one function that starts ffmpeg: see `startConfined`. */
export const makeStartFfmpeg = (ffmpegPath: string, bounds = hostBounds()): StartFfmpeg => {
  const command = sandboxedCommand(ffmpegPath, bounds)

  return (args) => {
    const { child, isAlive, kill } = startConfined([...command, ...args])
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
      kill,
    }
  }
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
