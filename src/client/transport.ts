import { aborted, networkLost, VoiceAgentError } from "./errors.ts"

export interface HttpRequest {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: FormData | string
  readonly signal: AbortSignal
}

export interface HttpResponse {
  readonly status: number
  readonly header: (name: string) => string | null
  /** The body as it arrives. Throws NETWORK_LOST when the connection breaks. */
  readonly text: AsyncIterable<string>
}

/** Fails with NETWORK_LOST, or with ABORTED when the signal aborts. */
export type Send = (request: HttpRequest) => Promise<HttpResponse>

/** The error of a failed request: the signal's reason, or NETWORK_LOST. */
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

/** Not `typeof fetch`: some runtimes give their own `fetch` further properties. */
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

/** The whole of a body. */
export const readText = async (chunks: AsyncIterable<string>): Promise<string> => {
  let text = ""
  for await (const chunk of chunks) text += chunk
  return text
}
