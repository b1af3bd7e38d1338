import type { Readable } from "node:stream"
import { AnswerUnreadable, ConnectionFailed, type OutboundError } from "./errors.ts"

/** Errors of a body: of its decoder, or of the connection. */
export const bodyError = (cause: unknown): OutboundError => {
  if (cause instanceof AnswerUnreadable) return cause
  // Such as Z_DATA_ERROR and ERR_BROTLI_DECODER_ERROR_FORMAT_EXUBERANT_NIBBLE.
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : ""
  return /^(Z_|ERR_(BROTLI|ZLIB|_ERROR_))/.test(code)
    ? new AnswerUnreadable({ reason: "is compressed in a way that cannot be read" })
    : new ConnectionFailed({ phase: "cut" })
}

/** The first bytes of a body. The rest is not read: leaving the loop ends the connection. */
export const readUpTo = async (body: Readable, most: number) => {
  const chunks: Array<Uint8Array> = []
  let received = 0
  for await (const chunk of body) {
    if (!(chunk instanceof Uint8Array)) continue
    chunks.push(chunk)
    received += chunk.length
    if (received > most) break
  }
  return { bytes: new Uint8Array(Buffer.concat(chunks).subarray(0, most)), isCut: received > most }
}

/** The body as a web stream that fails after `most` bytes. */
export const boundedStream = (body: Readable, most: number): ReadableStream<Uint8Array> => {
  const iterator = body[Symbol.asyncIterator]()
  let received = 0
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        const { done, value } = await iterator.next().catch((cause) => {
          throw bodyError(cause)
        })
        if (done === true) return controller.close()
        received += value.length
        if (received <= most) return controller.enqueue(value)
        body.destroy()
        throw new AnswerUnreadable({ reason: `is longer than ${most} bytes` })
      },
      cancel: () => {
        body.destroy()
      },
    },
    // Reads from the body only on demand.
    { highWaterMark: 0 },
  )
}
