import { networkLost, VoiceAgentError } from "./errors.ts"
import { isTransient } from "./retry.ts"

/** The part of a WebSocket that the client needs. Browsers, Bun and Node 22 have one; the `ws` package is another. */
export interface RealtimeSocket {
  readonly bufferedAmount: number
  send(data: string): void
  close(): void
  addEventListener(type: "open", listener: () => void): void
  addEventListener(type: "message", listener: (event: { readonly data: unknown }) => void): void
  addEventListener(type: "error", listener: () => void): void
  addEventListener(type: "close", listener: () => void): void
}

export type RealtimeSocketClass = new (url: string, protocols: Array<string>) => RealtimeSocket

export interface ConnectionOptions {
  readonly Socket: RealtimeSocketClass
  readonly url: () => string
  /** A client secret or an API key. Fails with a VoiceAgentError. */
  readonly credential: () => Promise<string>
  /** Called after a handshake that failed, which does not say why. Fails if another one is pointless. */
  readonly explain: () => Promise<void>
  readonly onMessage: (data: unknown) => void
  /** An open connection is lost. Called at once. */
  readonly onLost: () => void
  /** There will be no further connection. */
  readonly onEnd: (error: VoiceAgentError) => void
  /** Tries after the first, before there was any connection. */
  readonly retries: number
  /** Tries after a lost connection. */
  readonly reconnects: number
  /** The pause before the first of them, in ms. Each further pause is twice as long, up to 8 s. */
  readonly pauseMs: number
}

export interface Connection {
  /** Returns whether there is a connection. */
  readonly send: (data: string) => boolean
  /** The service has begun the session. */
  readonly begin: () => void
  /** Ends this connection for good. */
  readonly end: (error: VoiceAgentError) => void
  readonly close: () => void
}

const openTimeoutMs = 10_000
const longestPauseMs = 8000

/** Bytes that wait for a network that takes none: 4 s of audio. Browsers notice a dead connection after minutes only. */
const maxWaitingBytes = 256 * 1024

/** The events of a browser's network. Absent elsewhere. */
const onNetwork = (type: "online" | "offline", listener: () => void): (() => void) => {
  const target: { addEventListener?: unknown } = globalThis
  if (typeof target.addEventListener !== "function") return () => undefined
  globalThis.addEventListener(type, listener)
  return () => globalThis.removeEventListener(type, listener)
}

/** Connects, and connects again whenever the connection is lost, until it is closed. */
export const connect = (options: ConnectionOptions): Connection => {
  const { retries, reconnects, pauseMs, onLost, onEnd } = options
  let socket: RealtimeSocket | undefined
  let isClosed = false
  /** The service has begun a session at least once. */
  let hasBegun = false
  let failures = 0
  let lose: (() => void) | undefined
  let wake: (() => void) | undefined

  /** Resolves when the connection is lost. Rejects if it was never open. */
  const open = (credential: string): Promise<void> =>
    new Promise((resolve, reject) => {
      if (isClosed) return resolve()
      const opening = new options.Socket(options.url(), ["realtime", `openai-insecure-api-key.${credential}`])
      let isOver = false
      const over = () => {
        if (isOver) return
        isOver = true
        clearTimeout(timer)
        opening.close()
        lose = undefined
        if (socket === opening) {
          socket = undefined
          if (!isClosed) onLost()
          resolve()
        } else if (isClosed) resolve()
        else options.explain().then(() => reject(networkLost("the handshake failed")), reject)
      }
      const timer = setTimeout(over, openTimeoutMs)
      lose = over
      opening.addEventListener("open", () => {
        clearTimeout(timer)
        if (!isOver) socket = opening
      })
      opening.addEventListener("message", ({ data }) => {
        if (!isOver) options.onMessage(data)
      })
      // A close event follows, in browsers after minutes where the network is gone.
      opening.addEventListener("error", over)
      opening.addEventListener("close", over)
    })

  /** Waits, or returns early when the network comes back. */
  const pause = async () => {
    const ms = Math.min(longestPauseMs, pauseMs * 2 ** (failures - 1)) * (1 + Math.random() / 4)
    let forget = () => {}
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms)
      const stop = onNetwork("online", resolve)
      wake = resolve
      forget = () => {
        clearTimeout(timer)
        stop()
      }
    })
    forget()
  }

  const endAfter = (error: VoiceAgentError, isFinal: boolean) => {
    if (isFinal || failures >= (hasBegun ? reconnects : retries)) end(error)
  }

  const once = async () => {
    try {
      await open(await options.credential())
      endAfter(networkLost("the service closed the connection"), false)
    } catch (error) {
      if (!(error instanceof VoiceAgentError)) throw error
      endAfter(error, !isTransient(error))
    }
  }

  const run = async () => {
    while (!isClosed) {
      await once()
      if (isClosed) return
      failures += 1
      await pause()
    }
  }

  const close = () => {
    isClosed = true
    lose?.()
    wake?.()
    stopWatching()
  }

  const end = (error: VoiceAgentError) => {
    if (isClosed) return
    close()
    onEnd(error)
  }

  const stopWatching = onNetwork("offline", () => lose?.())
  run().catch((error: unknown) => end(networkLost(error)))

  return {
    send: (data) => {
      if (socket === undefined) return false
      if (socket.bufferedAmount > maxWaitingBytes) {
        lose?.()
        return false
      }
      socket.send(data)
      return true
    },
    begin: () => {
      hasBegun = true
      failures = 0
    },
    end,
    close,
  }
}
