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

/** Of standard error: onnxruntime may print a long trace before it aborts. */
const reasonLength = 300

const tailOf = async (stream: ReadableStream<Uint8Array<ArrayBuffer>>) => {
  let tail = ""
  for await (const text of stream.pipeThrough(new TextDecoderStream()))
    tail = `${tail}${text}`.slice(-reasonLength)
  return tail.replace(/\s+/g, " ").trim()
}

/**
 * Starts a process with Bun. It gets no environment, which holds keys, and no `.env`. It ends with the service, even with a killed one: its
 * standard input closes. `detached`: a Ctrl-C in the terminal goes to the service alone, which finishes its turns.
 */
export const startEngineProcess = (path = childPath): EngineProcess => {
  const child = Bun.spawn([process.execPath, "--no-env-file", path], {
    stdio: ["pipe", "pipe", "pipe"],
    env: {},
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
