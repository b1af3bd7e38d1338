import { Data, Effect, Either } from "effect"
import type { Frame } from "./frame.ts"

/** The process of the engine ended, or does not run. Another try may reach the next one. `reason` is for the log. */
export class EngineFailed extends Data.TaggedError("EngineFailed")<{ readonly reason: string }> {}

/** The engine runs, and could not do this request. Another try would fail in the same way. `reason` is for the log. */
export class RunFailed extends Data.TaggedError("RunFailed")<{ readonly reason: string }> {}

type Answer = Either.Either<Uint8Array, EngineFailed | RunFailed>

/** Called for each sign of life, with the part of the result that it brings. A plain function: it runs once per frame. */
export type OnProgress = (part: Uint8Array) => void

/** The requests to one process. */
export interface Requests {
  /** Interruption cancels the request. */
  readonly request: (
    frame: Omit<Frame, "id">,
    options: {
      /** For the longest step of the request, in ms. */
      readonly patienceMs: number
      readonly onProgress?: OnProgress | undefined
    },
  ) => Effect.Effect<Uint8Array, EngineFailed | RunFailed>
  /** To be called with every frame from the process. */
  readonly receive: (frame: Frame) => void
  /** Fails all requests, and later ones, with the first reason that it is given. */
  readonly failAll: (reason: string) => void
  /**
   * The longest time without a frame that the requests allow, in ms; 0 if the process has answered all, cancelled ones
   * too: it answers them as well.
   */
  readonly patienceMs: () => number
}

interface Waiting {
  readonly resume: (answer: Answer) => void
  readonly onProgress: OnProgress
}

const ended = (reason: string): Answer => Either.left(new EngineFailed({ reason }))

export const makeRequests = (send: (frame: Frame) => void): Requests => {
  const waiting = new Map<number, Waiting>()
  /** The patience of each. */
  const unanswered = new Map<number, number>()
  let lastId = 0
  let endReason: string | undefined

  const settle = (id: number, answer: Answer) => {
    unanswered.delete(id)
    waiting.get(id)?.resume(answer)
    waiting.delete(id)
  }

  return {
    request: (frame, { patienceMs, onProgress = () => undefined }) =>
      Effect.async<Uint8Array, EngineFailed | RunFailed>((resume) => {
        if (endReason !== undefined) return resume(ended(endReason))
        lastId += 1
        const id = lastId
        waiting.set(id, { resume, onProgress })
        unanswered.set(id, patienceMs)
        send({ ...frame, id })
        return Effect.sync(() => {
          waiting.delete(id)
          send({ kind: "cancel", id })
        })
      }),
    receive: ({ kind, id, note = "", bytes = new Uint8Array() }) => {
      if (kind === "progress") waiting.get(id)?.onProgress(bytes)
      if (kind === "done") settle(id, Either.right(bytes))
      if (kind === "failed") settle(id, Either.left(new RunFailed({ reason: note })))
    },
    failAll: (reason) => {
      endReason ??= reason
      for (const id of [...unanswered.keys()]) settle(id, ended(reason))
    },
    patienceMs: () => Math.max(0, ...unanswered.values()),
  }
}
