import type { Frame } from "../../../../src/providers/offline/engine/frame.ts"
import type { EngineProcess } from "../../../../src/providers/offline/engine/process.ts"

/** An engine's process that does what the test says. */
export interface FakeProcess {
  readonly process: EngineProcess
  /** All that it was sent. */
  readonly sent: ReadonlyArray<Frame>
  readonly write: (frame: Frame) => void
  /** What it writes from then on is no frame. */
  readonly babble: () => void
  readonly die: (reason: string) => void
  readonly isDead: () => boolean
}

interface FakeOptions {
  /** Whether `load` is answered at once. Default: true. */
  readonly loads?: boolean
  /** The answers to a run, written at once. None by default. */
  readonly answer?: (run: Frame) => ReadonlyArray<Frame>
}

export const makeFakeProcess = ({ loads = true, answer = () => [] }: FakeOptions = {}): FakeProcess => {
  const sent: Array<Frame> = []
  const ended = Promise.withResolvers<string>()
  let isDead = false
  let isBabbling = false
  let controller: ReadableStreamDefaultController<Frame> | undefined
  const frames = new ReadableStream<Frame>({
    start: (its) => {
      controller = its
    },
  })
  const write = (frame: Frame) => controller?.enqueue(frame)
  const die = (reason: string) => {
    if (isDead) return
    isDead = true
    ended.resolve(reason)
    if (!isBabbling) controller?.close()
  }
  return {
    process: {
      pid: 4711,
      send: (frame) => {
        sent.push(frame)
        if (frame.kind === "load" && loads) write({ kind: "done", id: frame.id })
        if (frame.kind === "run") for (const each of answer(frame)) write(each)
      },
      frames,
      ended: ended.promise,
      kill: async () => die("ended with SIGKILL"),
    },
    sent,
    write,
    babble: () => {
      isBabbling = true
      controller?.error(new Error("not a frame"))
    },
    die,
    isDead: () => isDead,
  }
}
