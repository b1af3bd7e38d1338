import { type Frame, makeSend, readFrames } from "./frame.ts"
import { decodeOptions, type RunOptions } from "./run-options.ts"

/** Runs a loaded model on the bytes of a request. */
export type Run = (
  bytes: Uint8Array,
  options: Required<RunOptions>,
  signal: AbortSignal,
  /** A sign of life, or a part of the result. */
  onProgress: (bytes?: Uint8Array) => void,
) => Uint8Array | Promise<Uint8Array>

/** The path of a model's file, by the loader's own name for it. */
export type Files = (role: string) => string

/** Loads a model. `recordings`: paths of the voices that it speaks with, if it needs them. */
export type Load = (files: Files, recordings: ReadonlyArray<string>) => Promise<Run>

const entriesOf = (value: unknown): ReadonlyArray<readonly [string, unknown]> =>
  typeof value === "object" && value !== null ? Object.entries(value) : []

/** What a `load` says: see `EngineOptions`. */
const filesOf = (bytes: Uint8Array) => {
  const given = new Map(entriesOf(JSON.parse(new TextDecoder().decode(bytes))))
  const paths = new Map(entriesOf(given.get("files")))
  const files: Files = (role) => {
    const path = paths.get(role)
    if (typeof path !== "string") throw new Error(`no ${role} among the files`)
    return path
  }
  return { files, recordings: entriesOf(given.get("recordings")).map(([, path]) => `${path}`) }
}

/**
 * The main program of an engine's process: reads frames from standard input and writes frames to standard output, until
 * the service is gone. A `load` names one of the loaders.
 */
export const serveEngine = async (loaders: Readonly<Record<string, Load>>): Promise<void> => {
  const send = makeSend(Bun.stdout.writer())
  const running = new Map<number, AbortController>()
  let run: Run = () => Promise.reject(new Error("no model is loaded"))

  const answer = async ({ kind, id, note = "", bytes = new Uint8Array() }: Frame, signal: AbortSignal) => {
    if (kind === "run") {
      return run(bytes, decodeOptions(note), signal, (part = new Uint8Array()) =>
        send({ kind: "progress", id, bytes: part }),
      )
    }
    const load = loaders[note]
    if (load === undefined) throw new Error(`no loader is called ${note}`)
    const { files, recordings } = filesOf(bytes)
    run = await load(files, recordings)
    return new Uint8Array()
  }

  const take = (frame: Frame) => {
    const { kind, id } = frame
    if (kind === "cancel") {
      running.get(id)?.abort()
      return
    }
    const abort = new AbortController()
    running.set(id, abort)
    answer(frame, abort.signal)
      .then(
        (bytes) => send({ kind: "done", id, bytes }),
        (error: unknown) =>
          send({ kind: "failed", id, note: error instanceof Error ? error.message : `${error}` }),
      )
      .finally(() => running.delete(id))
  }

  for await (const frame of readFrames(Bun.stdin.stream())) take(frame)
  // A signal, since an exit waits for the threads of the native code.
  process.kill(process.pid, "SIGKILL")
}
