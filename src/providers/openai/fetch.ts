import { Option, Predicate } from "effect"
import { isTooDeep, parseJson } from "../json.ts"

/**
 * The largest answer that is read, in bytes after decompression: over five minutes of 24 kHz 16-bit speech, while a segment
 * takes half a minute at most. An endless answer would fill the memory.
 */
const maxAnswerBytes = 16 * 1024 * 1024

/** The largest body of an error that is read, in bytes. It may repeat the request. */
const maxErrorBytes = 1024 * 1024

/**
 * How long to wait for the end of an answer after the SDK has stopped reading it, in ms: enough for one more packet, and too
 * short to be noticed between two sentences.
 */
const endWaitMs = 100

/** The answer is larger than its limit. Another one would be as large. */
export class AnswerTooLarge extends Error {}

/**
 * `fetch` for the SDK. It limits the size of answers, and reads event streams to their end. The SDK stops reading a stream
 * at its `[DONE]`, but the end of the HTTP body often follows in a packet of its own. A body that is cancelled before its
 * end costs the connection, and the next request would begin with a new TCP and TLS handshake: two round trips or more. So
 * the rest is read, if it comes soon.
 *
 * Bun's pool keeps 64 idle connections, each for 300 s (measured on 1.4.5). No connection is opened ahead of its request:
 * `fetch.preconnect` of Bun 1.4.5 throws for every URL on the default port of its scheme, such as api.openai.com, and a
 * connection that hangs occupies one of Bun's 256 concurrent requests for six minutes.
 */
export const providerFetch = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
  const answer = await fetch(input, init)
  if (answer.body === null) return answer
  if (!answer.ok) return new Response(await errorText(bounded(answer.body, leave, maxErrorBytes)), answer)
  const isEvents = answer.headers.get("content-type")?.startsWith("text/event-stream") ?? false
  return new Response(bounded(answer.body, isEvents ? readToItsEnd : leave), answer)
}

/**
 * The body of an error. The SDK takes a body that is one JSON string for empty, so the string is sent to it as plain text.
 * JSON that is nested too deep is left out: the SDK writes it again, by recursion. A body that is cut off must not hide the
 * status.
 */
const errorText = async (body: ReadableStream<Uint8Array>): Promise<string> => {
  const text = await new Response(body).text().catch(() => "")
  if (isTooDeep(text)) return ""
  return Option.getOrElse(Option.filter(parseJson(text), Predicate.isString), () => text)
}

interface Reader {
  readonly read: () => Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>
  readonly cancel: () => Promise<void>
}

const leave = (reader: Reader) => reader.cancel()

/** Resolves at the end of the body, or after `endWaitMs`. */
const readToItsEnd = async (reader: Reader) => {
  const giveUp = setTimeout(() => reader.cancel(), endWaitMs)
  try {
    for (let isDone = false; !isDone; ) isDone = (await reader.read()).done
  } finally {
    clearTimeout(giveUp)
  }
}

/** The same bytes, up to `most`. Calls `onLeft` if its reader cancels before the end. */
const bounded = (
  body: ReadableStream<Uint8Array>,
  onLeft: (reader: Reader) => Promise<void>,
  most = maxAnswerBytes,
) => {
  const reader = body.getReader()
  let received = 0
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        const { done, value } = await reader.read()
        if (done) return controller.close()
        received += value.length
        if (received <= most) return controller.enqueue(value)
        await reader.cancel()
        throw new AnswerTooLarge()
      },
      cancel: () => onLeft(reader),
    },
    // Reads from the body only on demand.
    { highWaterMark: 0 },
  )
}
