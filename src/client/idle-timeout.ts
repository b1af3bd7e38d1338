import { networkLost } from "./errors.ts"

/** A signal that aborts with NETWORK_LOST when no bytes arrive for too long. */
export interface IdleTimeout {
  readonly signal: AbortSignal
  /** Starts again, with this many ms. */
  readonly restart: (ms: number) => void
  readonly abort: (reason: unknown) => void
  /** Stops the timer. */
  readonly clear: () => void
}

/** For a whole JSON response. */
export const responseMs = 30_000

/** For the first byte of a turn: 25 MB at 1 Mbit/s take 210 s, and the turn itself up to 90 s. */
export const turnStartMs = 300_000

/** Between two bytes of a turn. The service sends a comment every 10 s, so the connection is dead by then. */
export const silenceMs = 35_000

export const startIdleTimeout = (ms: number): IdleTimeout => {
  const controller = new AbortController()
  let timer: ReturnType<typeof setTimeout> | undefined
  const clear = () => clearTimeout(timer)
  const restart = (ms: number) => {
    clear()
    timer = setTimeout(() => controller.abort(networkLost(`no bytes for ${ms} ms`)), ms)
  }
  restart(ms)
  const abort = (reason: unknown) => {
    clear()
    controller.abort(reason)
  }
  return { signal: controller.signal, restart, abort, clear }
}
