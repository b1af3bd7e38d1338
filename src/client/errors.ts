import type { ErrorCode, Open } from "./model.ts"

/**
 * The client's own codes. NETWORK_LOST: the connection failed or broke. ABORTED: the caller's signal ended the call.
 * BAD_ANSWER: the response is not the service's, for example a proxy's error page.
 */
export type ClientCode = "NETWORK_LOST" | "ABORTED" | "BAD_ANSWER"
export type KnownCode = ErrorCode | ClientCode
export type Code = Open<KnownCode>

export interface ErrorDetails {
  readonly code: Code
  /** For people. */
  readonly message: string
  /** The HTTP status. Absent without a response, and for an error after the response began. */
  readonly status?: number | undefined
  /** Identifies the request in the service's log. */
  readonly requestId?: string | undefined
  /** Seconds. */
  readonly retryAfter?: number | undefined
  readonly cause?: unknown
}

/** The error of every call. */
export class VoiceAgentError extends Error {
  override readonly name = "VoiceAgentError"
  readonly code: Code
  readonly status: number | undefined
  readonly requestId: string | undefined
  readonly retryAfter: number | undefined

  constructor({ code, message, status, requestId, retryAfter, cause }: ErrorDetails) {
    super(message, { cause })
    this.code = code
    this.status = status
    this.requestId = requestId
    this.retryAfter = retryAfter
  }
}

export const networkLost = (cause?: unknown): VoiceAgentError =>
  new VoiceAgentError({
    code: "NETWORK_LOST",
    message: "The connection to the service was lost.",
    cause,
  })

export const aborted = (cause?: unknown): VoiceAgentError =>
  new VoiceAgentError({ code: "ABORTED", message: "The call was aborted.", cause })

export const badAnswer = (what: string, status?: number, cause?: unknown): VoiceAgentError =>
  new VoiceAgentError({
    code: "BAD_ANSWER",
    message: `The response is not from the service: ${what}.`,
    status,
    cause,
  })
