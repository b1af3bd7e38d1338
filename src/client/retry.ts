import { aborted, VoiceAgentError } from "./errors.ts"

export interface RetryOptions {
  /** Retries after the first try. Default: 2. */
  readonly retries?: number | undefined
  /** The pause before the first retry, in ms. Each further pause is twice as long. Default: 1000. */
  readonly pauseMs?: number | undefined
}

/** A longer Retry-After, in seconds, is an error at once: nobody waits that long for a reply. */
const longestWaitSeconds = 30

/** Proxies send these while the service starts. Not 500: the service has retried its provider already. */
const transientStatuses = new Set([408, 429, 502, 503, 504])

/** Whether the same request may succeed soon. A monthly limit (429) is used up until a person has read of it. */
export const isTransient = ({ code, status, retryAfter = 0 }: VoiceAgentError): boolean =>
  code !== "QUOTA_EXCEEDED" &&
  retryAfter <= longestWaitSeconds &&
  (code === "NETWORK_LOST" ||
    code === "SESSION_BUSY" ||
    (status !== undefined && transientStatuses.has(status)))

/** Resolves after `ms`. Rejects with ABORTED when the signal aborts. */
const sleep = (ms: number, signal: AbortSignal): Promise<void> =>
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

/** Retries an attempt while `mayRetry` allows its error. Asked before the pause and again after it. */
export const retrying = async <A>(
  attempt: () => Promise<A>,
  { retries = 2, pauseMs = 1000 }: RetryOptions,
  signal: AbortSignal,
  mayRetry: (error: VoiceAgentError) => boolean = isTransient,
): Promise<A> => {
  for (let retry = 0; ; retry += 1) {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof VoiceAgentError) || retry >= retries || !mayRetry(error)) throw error
      // Up to a quarter more, so that clients that lost their connection together do not return together.
      const pause = pauseMs * 2 ** retry * (1 + Math.random() / 4)
      await sleep(Math.max(pause, (error.retryAfter ?? 0) * 1000), signal)
      if (!mayRetry(error)) throw error
    }
  }
}
