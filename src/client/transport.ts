import { aborted, networkLost, VoiceAgentError } from "./errors.ts"

/** One HTTP request. */
export interface Call {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: FormData | string
  readonly signal: AbortSignal
}

/** An answer whose body may still be coming. */
export interface Answer {
  readonly status: number
  readonly header: (name: string) => string | null
  /** The body as it comes; throws NETWORK_LOST where it breaks off. */
  readonly text: AsyncIterable<string>
}

/** Fails with NETWORK_LOST, or ABORTED by the signal. */
export type Send = (call: Call) => Promise<Answer>

/** What a failed request is to the caller: why it was ended, or that the network ended it. */
export const lostBy = ({ aborted: isAborted, reason }: AbortSignal, cause: unknown): VoiceAgentError => {
  if (!isAborted) return networkLost(cause)
  return reason instanceof VoiceAgentError ? reason : aborted(reason)
}

async function* decoded(response: Response, signal: AbortSignal): AsyncGenerator<string, void, void> {
  const reader = response.body?.getReader()
  if (reader === undefined) return
  const decoder = new TextDecoder()
  try {
    for (;;) {
      const next = await reader.read().catch((error: unknown) => {
        throw lostBy(signal, error)
      })
      if (next.done) return
      yield decoder.decode(next.value, { stream: true })
    }
  } finally {
    await reader.cancel().catch(() => undefined)
  }
}

/** Only the part that is needed: some runtimes' own `fetch` is a function with more on it. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>

export const sendByFetch =
  (fetch: Fetch): Send =>
  async ({ method, url, headers, body, signal }) => {
    const init = { method, headers, signal, ...(body === undefined ? {} : { body }) }
    const response = await fetch(url, init).catch((error: unknown) => {
      throw lostBy(signal, error)
    })
    return {
      status: response.status,
      header: (name) => response.headers.get(name),
      text: decoded(response, signal),
    }
  }

/** All of a body. */
export const wholeText = async (chunks: AsyncIterable<string>): Promise<string> => {
  let whole = ""
  for await (const chunk of chunks) whole += chunk
  return whole
}
