/** Why a connection ended, for the log and the metrics. */
export type EndReason =
  /** The client closed it. */
  | "client"
  /** It broke, or the client sent what no client may send. */
  | "lost"
  | "session_expired"
  | "idle"
  | "key_revoked"
  /** Another connection continues its session. */
  | "taken_over"
  | "session_deleted"
  /** The client read too slowly. */
  | "slow_client"
  /** The client answered no ping. */
  | "unreachable"
  | "shutdown"
  | "defect"

/** How a connection ends when the service ends it: an error event, then a close frame. */
export interface Farewell {
  readonly reason: EndReason
  readonly code: string
  readonly message: string
  /** Of the error event. `invalid_request_error` by default. */
  readonly type?: "server_error"
  /** RFC 6455, section 7.4.1. */
  readonly closeCode: number
}

export interface ConnectionLimits {
  /** All in ms; Infinity: no limit. */
  readonly session: number
  readonly idle: number
  readonly ping: number
  /** How long a client may read nothing of what waits for it. */
  readonly stall: number
  /** Bytes that may wait for the client. */
  readonly queueBytes: number
}

/** Characters: an event with 10 ms of G.711 audio is longer. */
const longestEmptyEvent = 150

/**
 * Whether a message shows that somebody uses the connection. Commits, clears and appends without audio do not: they would
 * keep an abandoned connection open for ever.
 */
export const isActivity = (message: string) =>
  message.length > longestEmptyEvent ||
  !message.includes("input_audio_buffer.") ||
  /"audio"\s*:\s*"[^"]/.test(message)

const minutes = (ms: number) => {
  const count = Number((ms / 60_000).toFixed(3))
  return `${count} minute${count === 1 ? "" : "s"}`
}

/** How a connection ends that is open, or without activity, for too long; both in ms. */
export const overLimit = (
  limits: Pick<ConnectionLimits, "session" | "idle">,
  { open, idle }: { readonly open: number; readonly idle: number },
): Farewell | undefined => {
  if (open >= limits.session) {
    return {
      reason: "session_expired",
      code: "session_expired",
      message: `Your session hit the maximum duration of ${minutes(limits.session)}.`,
      closeCode: 1001,
    }
  }
  if (idle < limits.idle) return undefined
  return {
    reason: "idle",
    code: "session_idle",
    message: `Your session had no audio and no events for ${minutes(limits.idle)}. Open another one to continue.`,
    closeCode: 1001,
  }
}
