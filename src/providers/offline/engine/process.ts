import { join } from "node:path"
import { type Frame, makeSend, readFrames } from "./frame.ts"

/** The process of an engine. */
export interface EngineProcess {
  readonly pid: number
  readonly send: (frame: Frame) => void
  /** Throws where the process writes something else. */
  readonly frames: AsyncIterable<Frame>
  /** Resolves with the reason once the process has ended. */
  readonly ended: Promise<string>
  /** Resolves once the process has ended. */
  readonly kill: () => Promise<unknown>
}

const childPath = join(import.meta.dir, "child.ts")

/** Characters of standard error that are kept while the process runs, and of a reason. */
const [keptLength, reasonLength] = [8000, 300]

/** Bun's report of a crash: the version of everything. What crashed is above it. */
const crashReport = /={20}.*/s

const tailOf = async (stream: ReadableStream<Uint8Array<ArrayBuffer>>) => {
  let tail = ""
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    tail = `${tail}${text}`.slice(-keptLength)
  }
  return tail.replace(crashReport, "").replace(/\s+/g, " ").trim().slice(-reasonLength)
}

/**
 * Starts a process with Bun. It gets no environment, which holds keys, and no `.env`. It ends with the service, even with
 * a killed one: its standard input closes. `detached`: a Ctrl-C in the terminal goes to the service alone, which finishes
 * its turns.
 */
export const startEngineProcess = (path = childPath): EngineProcess => {
  const child = Bun.spawn([process.execPath, "--no-env-file", path], {
    stdio: ["pipe", "pipe", "pipe"],
    // Bun sends no report of a crash.
    env: { DO_NOT_TRACK: "1" },
    cwd: "/",
    detached: true,
  })
  const stderr = tailOf(child.stderr)
  return {
    pid: child.pid,
    send: makeSend(child.stdin),
    frames: readFrames(child.stdout),
    ended: Promise.all([child.exited, stderr]).then(([code, tail]) =>
      [`ended with ${child.signalCode ?? code}`, tail].filter((part) => part !== "").join(": "),
    ),
    kill: () => {
      child.kill("SIGKILL")
      return child.exited
    },
  }
}
