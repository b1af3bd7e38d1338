import { Deferred, type Effect, Exit, FiberId, Option } from "effect"
import type { SignedIn } from "../accounts/model.ts"
import {
  type ConnectionLimits,
  type EndReason,
  type Farewell,
  isActivity,
  overLimit,
} from "./connection-limits.ts"
import { makeOutbox, makeWire, type OutboxSocket, type Wire } from "./outbox.ts"
import { errorEvent } from "./protocol/errors.ts"
import type { RealtimeSession } from "./session.ts"

/** The part of Bun's ServerWebSocket that a connection needs. */
export interface Socket extends OutboxSocket {
  readonly ping: () => number
  readonly terminate: () => void
}

/** Bun's callbacks for one socket. */
export interface SocketHandlers {
  readonly open: (socket: Socket) => void
  readonly message: (socket: Socket, data: string | Uint8Array) => void
  readonly drain: () => void
  readonly ping: () => void
  readonly pong: () => void
  readonly close: (socket: Socket, code: number) => void
}

/** ms without progress after which a connection that we closed is cut off: the client does not read, or not close. */
const closeTimeout = 5000
/** Pings without any sign of life after which a client counts as gone. */
const unansweredPings = 2.5

const refusal = (
  code: string,
  message: string,
  type: "invalid_request_error" | "server_error" = "invalid_request_error",
) => errorEvent({ type, code, message })

/** One socket, from its handshake to its end. Plain functions: they run for every message. */
export interface Connection {
  readonly user: SignedIn
  readonly wire: Wire
  readonly handlers: SocketHandlers
  /** Hands over the session, before the handshake ends. */
  readonly begin: (session: RealtimeSession) => void
  readonly session: () => RealtimeSession | undefined
  /** Resolves when the session has to end. Dies of a defect of the session. */
  readonly ended: Effect.Effect<void>
  /** Resolves when the socket is gone, or was never there. */
  readonly gone: Effect.Effect<void>
  /** Ends it: with the closing events of its responses and the farewell behind what is queued, or at once. */
  readonly end: (farewell: Farewell) => void
  readonly terminate: (reason: EndReason) => void
  /** Pings, and ends what is over a limit. Runs every second. */
  readonly check: () => void
  /** None before the handshake has ended. */
  readonly summary: () => Option.Option<{
    readonly reason: EndReason
    readonly code: number
    readonly ms: number
    readonly bytesIn: number
    readonly bytesOut: number
  }>
}

/** `now`: ms, from any fixed time on. */
export const makeConnection = (user: SignedIn, limits: ConnectionLimits, now: () => number): Connection => {
  const ended = Deferred.unsafeMake<void>(FiberId.none)
  const gone = Deferred.unsafeMake<void>(FiberId.none)
  let socket: Socket | undefined
  let session: RealtimeSession | undefined
  let reason: EndReason | undefined
  let closeCode = 1006
  let bytesIn = 0
  let openedAt = 0
  let heardAt = 0
  let activeAt = 0
  let pingedAt = 0
  let drainedAt = 0
  let endedAt: number | undefined
  /** What is queued ends with a close frame. */
  let isClosing = false

  const finish = (why: EndReason, exit: Exit.Exit<void> = Exit.void) => {
    reason ??= why
    endedAt ??= now()
    Deferred.unsafeDone(ended, exit)
    if (socket === undefined) Deferred.unsafeDone(gone, Exit.void)
  }

  const terminate = (why: EndReason) => {
    finish(why)
    outbox.discard()
    socket?.terminate()
  }

  const outbox = makeOutbox({
    maxBytes: limits.queueBytes,
    now,
    onOverflow: () => terminate("slow_client"),
  })
  const plain = makeWire(outbox)
  const wire: Wire = {
    ...plain,
    send: (event) => {
      if (event.type === "response.output_audio.delta") activeAt = now()
      plain.send(event)
    },
    end: (farewell) => end(farewell),
  }

  const end: Connection["end"] = ({ reason, code, message, closeCode: close, type }) => {
    if (endedAt !== undefined) return
    endedAt = now()
    session?.stop()
    closeCode = close
    isClosing = true
    wire.send(refusal(code, message, type))
    outbox.close(close, code)
    finish(reason)
  }

  const receive = (data: string | Uint8Array) => {
    heardAt = now()
    bytesIn += typeof data === "string" ? Buffer.byteLength(data) : data.length
    if (endedAt !== undefined) return
    if (typeof data !== "string") {
      wire.send(
        refusal(
          "invalid_event",
          "Binary messages are not supported. Send each event as JSON text, and audio as base64 in input_audio_buffer.append.",
        ),
      )
      return
    }
    if (isActivity(data)) activeAt = heardAt
    try {
      session?.receive(data)
    } catch (defect) {
      finish("defect", Exit.die(defect))
    }
  }

  const check = () => {
    if (socket === undefined) return
    const time = now()
    const stalledSince = outbox.stalledSince()
    if (endedAt !== undefined && time - Math.max(endedAt, drainedAt) > closeTimeout) return terminate("lost")
    if (stalledSince !== undefined && time - stalledSince >= limits.stall) return terminate("slow_client")
    if (time - heardAt > limits.ping * unansweredPings) return terminate("unreachable")
    if (endedAt !== undefined) return
    // What waits in the socket keeps a proxy's connection open as well as a ping.
    if (stalledSince === undefined && time - pingedAt >= limits.ping) {
      pingedAt = time
      socket.ping()
    }
    const farewell = overLimit(limits, { open: time - openedAt, idle: time - activeAt })
    if (farewell !== undefined) end(farewell)
  }

  return {
    user,
    wire,
    begin: (begun) => {
      session = begun
    },
    session: () => session,
    ended: Deferred.await(ended),
    gone: Deferred.await(gone),
    end,
    terminate,
    check,
    summary: () =>
      socket === undefined
        ? Option.none()
        : Option.some({
            reason: reason ?? "lost",
            code: closeCode,
            ms: Math.round(now() - openedAt),
            bytesIn,
            bytesOut: outbox.bytesSent(),
          }),
    handlers: {
      open: (opened) => {
        socket = opened
        // Its session is gone already.
        if (endedAt !== undefined && !isClosing) return opened.terminate()
        openedAt = heardAt = activeAt = pingedAt = now()
        outbox.attach(opened)
      },
      message: (_, data) => receive(data),
      drain: () => {
        heardAt = drainedAt = now()
        outbox.onDrain()
      },
      ping: () => {
        heardAt = now()
      },
      pong: () => {
        heardAt = now()
      },
      close: (_, code) => {
        if (reason === undefined) closeCode = code
        outbox.discard()
        finish(code === 1006 ? "lost" : "client")
        Deferred.unsafeDone(gone, Exit.void)
      },
    },
  }
}
