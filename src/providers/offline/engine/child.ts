/**
 * The process of an engine. It loads native code that a damaged file aborts, so the service does not. It reads frames
 * from standard input and writes frames to standard output.
 */
import { type Frame, makeSend, readFrames } from "./frame.ts"
import { loadMoonshine, type MoonshineFiles } from "./moonshine.ts"

type Run = (bytes: Uint8Array, signal: AbortSignal, onProgress: () => void) => Promise<string>

const fileIn = (files: unknown, name: keyof MoonshineFiles): string => {
  const path =
    typeof files === "object" && files !== null ? Object.entries(files).find(([key]) => key === name) : []
  if (typeof path?.[1] !== "string") throw new Error(`no ${name} among the files`)
  return path[1]
}

/** A copy, because 16-bit samples start at an even address. */
const samplesOf = (bytes: Uint8Array): Int16Array => new Int16Array(bytes.slice(0, bytes.length & ~1).buffer)

const loaders: Readonly<Record<string, (files: unknown) => Promise<Run>>> = {
  moonshine: async (files) => {
    const transcribe = await loadMoonshine({
      encoder: fileIn(files, "encoder"),
      decoder: fileIn(files, "decoder"),
      tokens: fileIn(files, "tokens"),
      detector: fileIn(files, "detector"),
    })
    return (bytes, signal, onProgress) => transcribe(samplesOf(bytes), signal, onProgress)
  },
}

const send = makeSend(Bun.stdout.writer())
const running = new Map<number, AbortController>()
let run: Run = () => Promise.reject(new Error("no model is loaded"))

const answer = async ({ kind, id, note = "", bytes = new Uint8Array() }: Frame, signal: AbortSignal) => {
  if (kind === "run") return run(bytes, signal, () => send({ kind: "progress", id }))
  const load = loaders[note]
  if (load === undefined) throw new Error(`no loader is called ${note}`)
  run = await load(JSON.parse(new TextDecoder().decode(bytes)))
  return ""
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
      (text) => send({ kind: "done", id, bytes: new TextEncoder().encode(text) }),
      (error: unknown) =>
        send({ kind: "failed", id, note: error instanceof Error ? error.message : `${error}` }),
    )
    .finally(() => running.delete(id))
}

for await (const frame of readFrames(Bun.stdin.stream())) take(frame)
// The service is gone. A signal, since an exit waits for the threads of the native code.
process.kill(process.pid, "SIGKILL")
