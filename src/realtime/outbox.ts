import { Effect } from "effect"
import type { Farewell } from "./connection-limits.ts"
import { encodeServerEvent, type ServerEvent } from "./protocol/server-events.ts"

/** The way from a session to its client. All functions may be called at any time, also after the end. */
export interface Wire {
  /** Sends an event, after those before it. Never blocks. */
  readonly send: (event: ServerEvent) => void
  /** Waits until little is queued. Whoever produces audio waits here. Resolves when the connection has ended, too. */
  readonly drained: Effect.Effect<void>
  /** Removes the queued audio of a response: it was interrupted. */
  readonly dropAudio: (responseId: string) => void
  /** Ends the session: its responses end, then the error event and the close frame follow what is queued. */
  readonly end: (farewell: Farewell) => void
}

/** The part of Bun's ServerWebSocket that an outbox needs. */
export interface OutboxSocket {
  /** The bytes sent; -1: accepted, and the connection takes no more until it drains; 0: dropped without an error. */
  readonly sendText: (text: string) => number
  readonly getBufferedAmount: () => number
  readonly close: (code?: number, reason?: string) => void
}

export interface OutboxOptions {
  /** The most bytes that may wait here and in Bun. */
  readonly maxBytes: number
  /** ms, from any fixed time on. */
  readonly now: () => number
  /** More than `maxBytes` wait: the connection has to end. */
  readonly onOverflow: () => void
}

/** A queue in front of a socket, in plain functions: `send` runs once per chunk of audio. */
export interface Outbox extends Pick<Wire, "drained" | "dropAudio"> {
  /** Closes the connection after what is queued. `reason`: at most 123 bytes (RFC 6455). */
  readonly close: (code: number, reason: string) => void
  /** `audioOf`: the response whose audio this is. */
  readonly send: (text: string, audioOf?: string) => void
  /** The handshake has ended. Until then everything is queued. */
  readonly attach: (socket: OutboxSocket) => void
  /** The socket takes more bytes (Bun's `drain`). */
  readonly onDrain: () => void
  /** The socket is gone: nothing is sent any more. */
  readonly discard: () => void
  /** Since when the client has read nothing although something waits for it. Undefined: nothing waits. */
  readonly stalledSince: () => number | undefined
  /** Bytes that the socket accepted. */
  readonly bytesSent: () => number
  /** Bytes that wait here, without Bun's. */
  readonly bytesQueued: () => number
}

/** Bytes: a second of 24 kHz audio in base64. Less makes gaps likely, more is audio that a barge-in cannot recall. */
const lowWater = 64 * 1024

interface Queued {
  readonly text: string
  readonly bytes: number
  readonly audioOf: string | undefined
}

export const makeOutbox = ({ maxBytes, now, onOverflow }: OutboxOptions): Outbox => {
  let socket: OutboxSocket | undefined
  let queue: Array<Queued> = []
  let queuedBytes = 0
  let sentBytes = 0
  let isEnded = false
  let closing: { readonly code: number; readonly reason: string } | undefined
  /** When Bun last stopped or resumed. Undefined: it takes more. */
  let blockedSince: number | undefined
  const waiting = new Set<() => void>()

  const bytesWaiting = () =>
    queuedBytes + (blockedSince === undefined ? 0 : (socket?.getBufferedAmount() ?? 0))

  const wake = () => {
    if (waiting.size === 0 || (!isEnded && bytesWaiting() > lowWater)) return
    for (const resume of [...waiting]) resume()
  }

  const end = () => {
    isEnded = true
    queue = []
    queuedBytes = 0
    wake()
  }

  const flush = () => {
    while (socket !== undefined && blockedSince === undefined) {
      const [next] = queue
      if (next === undefined) break
      const sent = socket.sendText(next.text)
      if (sent <= 0) blockedSince = now()
      // Bun keeps nothing of a message for which it returns 0.
      if (sent === 0) break
      queue.shift()
      queuedBytes -= next.bytes
      sentBytes += next.bytes
    }
    if (socket !== undefined && closing !== undefined && queue.length === 0 && !isEnded) {
      end()
      // Bun sends the close frame after what it has buffered.
      socket.close(closing.code, closing.reason)
    }
    wake()
  }

  const send: Outbox["send"] = (text, audioOf) => {
    if (isEnded || closing !== undefined) return
    const bytes = Buffer.byteLength(text)
    queue.push({ text, bytes, audioOf })
    queuedBytes += bytes
    flush()
    if (bytesWaiting() <= maxBytes) return
    end()
    onOverflow()
  }

  return {
    send,
    attach: (attached) => {
      socket = attached
      flush()
    },
    onDrain: () => {
      if (blockedSince === undefined) return
      // Bun drains in several steps. Before the last ones, another message would only grow its own buffer.
      blockedSince = (socket?.getBufferedAmount() ?? 0) > lowWater ? now() : undefined
      flush()
    },
    discard: end,
    close: (code, reason) => {
      if (isEnded || closing !== undefined) return
      closing = { code, reason }
      flush()
    },
    dropAudio: (responseId) => {
      const kept = queue.filter(({ audioOf }) => audioOf !== responseId)
      queuedBytes = kept.reduce((sum, { bytes }) => sum + bytes, 0)
      queue = kept
      flush()
    },
    drained: Effect.async<void>((resume) => {
      const done = () => {
        waiting.delete(done)
        resume(Effect.void)
      }
      waiting.add(done)
      wake()
      return Effect.sync(() => waiting.delete(done))
    }),
    stalledSince: () => blockedSince,
    bytesSent: () => sentBytes,
    bytesQueued: () => queuedBytes,
  }
}

/** The wire of a session over an outbox, without its end. */
export const makeWire = ({ send, drained, dropAudio }: Outbox): Omit<Wire, "end"> => ({
  send: (event) =>
    send(
      encodeServerEvent(event),
      event.type === "response.output_audio.delta" ? event.response_id : undefined,
    ),
  drained,
  dropAudio,
})
