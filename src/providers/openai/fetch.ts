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
 * `fetch` for the SDK. An error is read here, a whole answer by `chunksOf`.
 *
 * Bun's pool keeps 64 idle connections, each for 300 s (measured on 1.4.5). No connection is opened ahead of its request:
 * `fetch.preconnect` of Bun 1.4.5 throws for every URL on the default port of its scheme, such as api.openai.com, and a
 * connection that hangs occupies one of Bun's 256 concurrent requests for six minutes.
 */
export const providerFetch = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
  const answer = await fetch(input, init)
  return answer.ok || answer.body === null ? answer : new Response(await errorText(answer), answer)
}

/**
 * The body of an error. The SDK takes a body that is one JSON string for empty, so the string is sent to it as plain text.
 * JSON that is nested too deep is left out: the SDK writes it again, by recursion. A body that is cut off must not hide the
 * status.
 */
const errorText = async (answer: Response): Promise<string> => {
  const text = await textOf(answer, maxErrorBytes).catch(() => "")
  if (isTooDeep(text)) return ""
  return Option.getOrElse(Option.filter(parseJson(text), Predicate.isString), () => text)
}

interface Reader {
  readonly read: () => Promise<{ readonly done: boolean }>
  readonly cancel: () => Promise<void>
}

/** Resolves at the end of the body, or after `endWaitMs`. */
const readToItsEnd = async (reader: Reader) => {
  const giveUp = setTimeout(() => reader.cancel(), endWaitMs)
  try {
    for (let isDone = false; !isDone; ) isDone = (await reader.read()).done
  } finally {
    clearTimeout(giveUp)
  }
}

/**
 * The body of an answer, chunk by chunk, up to `most` bytes: a larger one throws AnswerTooLarge. It ends early after a chunk
 * for which `isOver` is true.
 *
 * An event stream is then read to its end. The end of the HTTP body often follows the `[DONE]` in a packet of its own, and a
 * body that is cancelled before its end costs the connection: the next request would begin with a new TCP and TLS handshake,
 * two round trips or more. So the rest is read, if it comes soon.
 */
export async function* chunksOf(
  { body, headers }: Response,
  isOver: () => boolean = () => false,
  most = maxAnswerBytes,
): AsyncGenerator<Uint8Array, void, void> {
  if (body === null) return
  const reader = body.getReader()
  let received = 0
  let isWhole = false
  let isEvents = headers.get("content-type")?.startsWith("text/event-stream") ?? false
  try {
    while (!isOver()) {
      const { done, value } = await reader.read()
      if (done) {
        isWhole = true
        return
      }
      received += value.length
      if (received > most) {
        isEvents = false
        throw new AnswerTooLarge()
      }
      yield value
    }
  } finally {
    // What is wrong with the rest of an answer is no error of the answer.
    if (!isWhole) await (isEvents ? readToItsEnd(reader) : reader.cancel()).catch(() => undefined)
  }
}

/** The whole body as text, up to `most` bytes. */
export const textOf = async (answer: Response, most = maxAnswerBytes): Promise<string> => {
  const chunks: Array<Uint8Array> = []
  for await (const chunk of chunksOf(answer, undefined, most)) chunks.push(chunk)
  return new TextDecoder().decode(Buffer.concat(chunks))
}
