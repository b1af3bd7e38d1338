/**
 * How long an answer's end is waited for once its reader has left it, in ms: long enough for a packet that was sent
 * right behind another, too short to be noticed between two sentences.
 */
const endWaitMs = 100

/**
 * `fetch` for the SDK, which leaves a stream of events at its `[DONE]`. The end of the HTTP body often comes in a packet
 * of its own behind that, and a body left before its end costs the connection: the next request would begin with a new
 * TCP and TLS handshake, two round trips or more. So what is left is read to its end, if that comes soon.
 *
 * For all else Bun's own pool is relied on: 64 idle connections, each for 300 s (measured on 1.4.5). None is opened
 * ahead of its request: `fetch.preconnect` of Bun 1.4.5 throws for every URL on its scheme's default port, such as
 * api.openai.com's, and one that hangs takes up, for six minutes, one of the 256 requests that may be under way.
 */
export const fetchKeepingAlive = async (
  input: string | URL | Request,
  init?: RequestInit,
): Promise<Response> => {
  const answer = await fetch(input, init)
  const isEvents = answer.headers.get("content-type")?.startsWith("text/event-stream") ?? false
  return isEvents && answer.body !== null ? new Response(readToItsEnd(answer.body), answer) : answer
}

/** The same bytes. Cancelling it reads on, and is done with the end, or `endWaitMs` later without it. */
const readToItsEnd = (body: ReadableStream<Uint8Array>) => {
  const reader = body.getReader()
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        const { done, value } = await reader.read()
        if (done) controller.close()
        else controller.enqueue(value)
      },
      cancel: async () => {
        const giveUp = setTimeout(() => reader.cancel(), endWaitMs)
        try {
          for (let isDone = false; !isDone; ) isDone = (await reader.read()).done
        } finally {
          clearTimeout(giveUp)
        }
      },
    },
    // Nothing is read that was not asked for.
    { highWaterMark: 0 },
  )
}
