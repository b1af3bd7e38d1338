import { aborted, VoiceAgentError } from "./errors.ts"

export interface RetryOptions {
  /** After the first try; 2 unless told. */
  readonly retries?: number | undefined
  /** Before the first retry, in ms; twice as long before each further one. 1000 unless told. */
  readonly pauseMs?: number | undefined
}

/** A Retry-After over so many seconds is not waited for: a person would have left. */
const longestWaitSeconds = 30

/** Proxies answer these while the service starts or is away; its own 500 comes after retries of its own. */
const passing = new Set([408, 429, 502, 503, 504])

/** Whether the same question may be answered soon. */
export const isPassing = ({ code, status, retryAfter = 0 }: VoiceAgentError): boolean =>
  retryAfter <= longestWaitSeconds &&
  (code === "NETWORK_LOST" || code === "SESSION_BUSY" || (status !== undefined && passing.has(status)))

/** Settles after so long, or at once with ABORTED. */
export const sleep = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer)
      reject(aborted(signal.reason))
    }
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop)
      resolve()
    }, ms)
    if (signal.aborted) stop()
    else signal.addEventListener("abort", stop, { once: true })
  })

/** Tries again what may soon succeed; `mayRetry` says so of an error, before the pause and once more after it. */
export const retrying = async <A>(
  attempt: () => Promise<A>,
  { retries = 2, pauseMs = 1000 }: RetryOptions,
  signal: AbortSignal,
  mayRetry: (error: VoiceAgentError) => boolean = isPassing,
): Promise<A> => {
  for (let retry = 0; ; retry += 1) {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof VoiceAgentError) || retry >= retries || !mayRetry(error)) throw error
      // Up to a quarter more, so that clients that were cut off together do not return together.
      const pause = pauseMs * 2 ** retry * (1 + Math.random() / 4)
      await sleep(Math.max(pause, (error.retryAfter ?? 0) * 1000), signal)
      if (!mayRetry(error)) throw error
    }
  }
}
