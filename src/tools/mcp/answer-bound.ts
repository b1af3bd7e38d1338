import { AnswerUnreadable } from "../../outbound/errors.ts"
import type { Outbound } from "../../outbound/outbound.ts"

type Fetch = typeof Outbound.Service.fetch

/**
 * Bytes of one answer of a server: of a body, of an event of a stream, or of a line of a program. The SDK reads each at once; 1
 * MB takes it up to 0.1 s. As much as is read of an answer to an HTTP tool.
 */
export const maxAnswerBytes = 1024 * 1024

const lineFeed = 0x0a
const carriageReturn = 0x0d

/** Counts the bytes of an event. A line may end in CR LF, LF or CR; an empty line ends the event. */
const makeEventCounter = () => {
  let bytes = 0
  let isLineEmpty = true
  let last = 0
  /** The length of the longest event so far of those in the chunk. */
  return (chunk: Uint8Array): number => {
    let longest = 0
    for (const byte of chunk) {
      bytes += 1
      if (byte === lineFeed || byte === carriageReturn) {
        const isSecondHalf = byte === lineFeed && last === carriageReturn
        if (isLineEmpty && !isSecondHalf) bytes = 0
        isLineEmpty = true
      } else isLineEmpty = false
      last = byte
      if (bytes > longest) longest = bytes
    }
    return longest
  }
}

const makeCounter = () => {
  let bytes = 0
  return (chunk: Uint8Array): number => {
    bytes += chunk.length
    return bytes
  }
}

/** The response, whose body fails as soon as `count` of a chunk is more than `most` bytes. */
export const countedBody = (
  response: Response,
  most: number,
  count: (chunk: Uint8Array) => number,
): Response => {
  if (response.body === null) return response
  const counted = response.body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform: (chunk, controller) => {
        if (count(chunk) <= most) controller.enqueue(chunk)
        else controller.error(new AnswerUnreadable({ reason: `is longer than ${most} bytes` }))
      },
    }),
  )
  return new Response(counted, response)
}

/** Requests whose answers are bounded: each as a whole, or each event of a stream, which may go on for as long as it likes. */
export const withBoundedAnswers =
  (fetch: Fetch): Fetch =>
  async (url, init) => {
    const response = await fetch(url, init)
    const isStream = response.headers
      .get("content-type")
      ?.trim()
      .toLowerCase()
      .startsWith("text/event-stream")
    return countedBody(response, maxAnswerBytes, isStream === true ? makeEventCounter() : makeCounter())
  }
