/**
 * The largest answer that is read, in bytes and unpacked: over five minutes of 24 kHz 16-bit speech, where a piece of a
 * reply has half a minute at most. A server that sends without end would fill the memory.
 */
const maxAnswerBytes = 16 * 1024 * 1024

/**
 * How long an answer's end is waited for once its reader has left it, in ms: long enough for a packet that was sent
 * right behind another, too short to be noticed between two sentences.
 */
const endWaitMs = 100

/** A provider sent more than any answer can be. */
class AnswerTooLarge extends Error {}

/**
 * `fetch` for the SDK: answers are read up to a limit, and streams of events to their end. The SDK leaves those at
 * their `[DONE]`. The end of the HTTP body often comes in a packet of its own behind that, and a body left before its
 * end costs the connection: the next request would begin with a new TCP and TLS handshake, two round trips or more. So
 * what is left is read to its end, if that comes soon.
 *
 * For all else Bun's own pool is relied on: 64 idle connections, each for 300 s (measured on 1.4.5). None is opened
 * ahead of its request: `fetch.preconnect` of Bun 1.4.5 throws for every URL on its scheme's default port, such as
 * api.openai.com's, and one that hangs takes up, for six minutes, one of the 256 requests that may be under way.
 */
export const providerFetch = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
  const answer = await fetch(input, init)
  if (answer.body === null) return answer
  const isEvents = answer.headers.get("content-type")?.startsWith("text/event-stream") ?? false
  return new Response(bounded(answer.body, isEvents ? readToItsEnd : leave), answer)
}

interface Reader {
  readonly read: () => Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>
  readonly cancel: () => Promise<void>
}

const leave = (reader: Reader) => reader.cancel()

/** It is done with the end, or `endWaitMs` later without it. */
const readToItsEnd = async (reader: Reader) => {
  const giveUp = setTimeout(() => reader.cancel(), endWaitMs)
  try {
    for (let isDone = false; !isDone; ) isDone = (await reader.read()).done
  } finally {
    clearTimeout(giveUp)
  }
}

/** The same bytes, as long as there are not too many; `onLeft` where its reader leaves before the end. */
const bounded = (body: ReadableStream<Uint8Array>, onLeft: (reader: Reader) => Promise<void>) => {
  const reader = body.getReader()
  let received = 0
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        const { done, value } = await reader.read()
        if (done) return controller.close()
        received += value.length
        if (received <= maxAnswerBytes) return controller.enqueue(value)
        await reader.cancel()
        throw new AnswerTooLarge()
      },
      cancel: () => onLeft(reader),
    },
    // Nothing is read that was not asked for.
    { highWaterMark: 0 },
  )
}
