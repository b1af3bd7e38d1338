import { networkLost } from "./errors.ts"

/** A signal that aborts with NETWORK_LOST when nothing was heard for too long. */
export interface Patience {
  readonly signal: AbortSignal
  /** So many ms from now. */
  readonly renew: (ms: number) => void
  readonly abort: (reason: unknown) => void
  /** It waits no more. */
  readonly end: () => void
}

/** For answers that come whole. */
export const answerMs = 30_000

/** For the first byte of a turn's answer: 25 MB at 1 Mbit/s are 210 s, and a turn then has up to 90 s. */
export const turnAnswerMs = 300_000

/** Within a turn's answer: the service sends a comment every 10 s, so this long without a byte is a dead line. */
export const silenceMs = 35_000

export const makePatience = (ms: number): Patience => {
  const controller = new AbortController()
  let timer: ReturnType<typeof setTimeout> | undefined
  const end = () => clearTimeout(timer)
  const renew = (ms: number) => {
    end()
    timer = setTimeout(() => controller.abort(networkLost(`nothing heard for ${ms} ms`)), ms)
  }
  renew(ms)
  const abort = (reason: unknown) => {
    end()
    controller.abort(reason)
  }
  return { signal: controller.signal, renew, abort, end }
}
