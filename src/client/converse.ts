import { aborted } from "./errors.ts"
import type { TurnCompleted, TurnStarted } from "./model.ts"
import { type ConverseOptions, type Service, type TurnInput, takeTurn } from "./take-turn.ts"
import { runCall, type ToolResult } from "./tools.ts"

/** A completed turn. All of it is saved. */
export interface Turn extends TurnStarted, TurnCompleted {
  /** The turns before this one that called tools of the client, oldest first. */
  readonly earlier: ReadonlyArray<Turn>
}

/** More than the rounds of tools that a service allows. */
const maxFollowUps = 50

/** Rejects when the signal aborts, whatever becomes of the promise. */
const unlessAborted = <A>(signal: AbortSignal, promise: Promise<A>): Promise<A> =>
  new Promise((resolve, reject) => {
    const stop = () => reject(aborted(signal.reason))
    if (signal.aborted) return stop()
    signal.addEventListener("abort", stop, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop))
  })

/** A turn, and those that follow from its calls. */
const follow = async (service: Service, input: TurnInput, options: ConverseOptions): Promise<Turn> => {
  const { tools, signal = new AbortController().signal } = options
  const earlier: Array<Turn> = []
  let next = input
  for (;;) {
    const { isReplayed, ...turn } = await takeTurn(
      service,
      next,
      earlier.length === 0 ? options : { ...options, idempotencyKey: undefined, onUploadProgress: undefined },
    )
    const whole = { ...turn, earlier: [...earlier] }
    if (tools === undefined || turn.toolCalls.length === 0 || earlier.length >= maxFollowUps) return whole
    // An earlier run of the program may have submitted their results.
    const open = isReplayed ? await unlessAborted(signal, service.openCalls(turn.sessionId)) : turn
    if (open.turnId !== turn.turnId) return whole
    const results = await unlessAborted(
      signal,
      Promise.all(open.toolCalls.map((call) => runCall(tools, call, signal))),
    )
    earlier.push({ ...turn, earlier: [] })
    next = { turnId: turn.turnId, results }
  }
}

export const converse = (service: Service, input: Blob | string, options: ConverseOptions): Promise<Turn> =>
  follow(service, input, options)

/** Submits results of calls, for a client that runs its tools itself. */
export const submitResults = (
  service: Service,
  turnId: string,
  results: ReadonlyArray<ToolResult>,
  options: ConverseOptions,
): Promise<Turn> => follow(service, { turnId, results }, options)
