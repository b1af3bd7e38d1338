import { type Frame, makeSend, readFrames } from "./frame.ts"

/** Runs a loaded model on the bytes of a request. */
export type Run = (
  bytes: Uint8Array,
  signal: AbortSignal,
  onProgress: () => void,
) => Uint8Array | Promise<Uint8Array>

/** Loads a model from its files: absolute paths by the loader's own names. */
export type Load = (file: (name: string) => string) => Promise<Run>

const filesOf = (bytes: Uint8Array) => {
  const files: unknown = JSON.parse(new TextDecoder().decode(bytes))
  return (name: string): string => {
    const path =
      typeof files === "object" && files !== null ? Object.entries(files).find(([key]) => key === name) : []
    if (typeof path?.[1] !== "string") throw new Error(`no ${name} among the files`)
    return path[1]
  }
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
    if (kind === "run") return run(bytes, signal, () => send({ kind: "progress", id }))
    const load = loaders[note]
    if (load === undefined) throw new Error(`no loader is called ${note}`)
    run = await load(filesOf(bytes))
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
