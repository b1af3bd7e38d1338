/**
 * The process of an engine. It loads native code that a damaged file aborts, so the service does not. It reads frames
 * from standard input and writes frames to standard output.
 */
import { type Frame, makeSend, readFrames } from "./frame.ts"
import { makeHear, type SpeechModel } from "./hear.ts"
import { loadMoonshine, loadTransducer, loadWhisper } from "./recognizers.ts"
import { decodeOptions, type RunOptions } from "./run-options.ts"
import { loadPocket, loadSupertonic, type Speak } from "./speak.ts"

type Run = (
  bytes: Uint8Array,
  options: Required<RunOptions>,
  signal: AbortSignal,
  /** A sign of life, or a part of the result. */
  onProgress: (bytes?: Uint8Array) => void,
) => Promise<string>

type Files = (role: string) => string

interface Load {
  readonly files: Files
  readonly recordings: ReadonlyArray<string>
}

/** A copy, because 16-bit samples start at an even address. */
const samplesOf = (bytes: Uint8Array): Int16Array => new Int16Array(bytes.slice(0, bytes.length & ~1).buffer)

const recognizer =
  (load: (files: Files) => Promise<SpeechModel>) =>
  async ({ files }: Load): Promise<Run> => {
    const hear = await makeHear(files("detector"), await load(files))
    return (bytes, { language }, signal, onProgress) =>
      hear(samplesOf(bytes), language, signal, () => onProgress())
  }

const voice =
  (load: (files: Files, recordings: ReadonlyArray<string>) => Promise<Speak>) =>
  async ({ files, recordings }: Load): Promise<Run> => {
    const speak = await load(files, recordings)
    return async (bytes, options, signal, onProgress) => {
      await speak(new TextDecoder().decode(bytes), options, signal, onProgress)
      return ""
    }
  }

const loaders: Readonly<Record<string, (load: Load) => Promise<Run>>> = {
  moonshine: recognizer(loadMoonshine),
  transducer: recognizer(loadTransducer),
  whisper: recognizer(loadWhisper),
  supertonic: voice(loadSupertonic),
  pocket: voice(loadPocket),
}

const entriesOf = (value: unknown): ReadonlyArray<readonly [string, unknown]> =>
  typeof value === "object" && value !== null ? Object.entries(value) : []

/** What a `load` says: see `EngineOptions`. */
const loadOf = (bytes: Uint8Array): Load => {
  const given = new Map(entriesOf(JSON.parse(new TextDecoder().decode(bytes))))
  const paths = new Map(entriesOf(given.get("files")))
  return {
    files: (role) => {
      const path = paths.get(role)
      if (typeof path !== "string") throw new Error(`no ${role} among the files`)
      return path
    },
    recordings: entriesOf(given.get("recordings")).map(([, path]) => `${path}`),
  }
}

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
  run = await load(loadOf(bytes))
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
