/** The codes that the service answers with. */
export const serviceCodes = [
  "UNAUTHORIZED",
  "INVALID_API_KEY",
  "REGISTRATION_CLOSED",
  "INVALID_REGISTRATION_TOKEN",
  "API_KEY_NOT_FOUND",
  "LAST_API_KEY",
  "TOO_MANY_API_KEYS",
  "EMAIL_TAKEN",
  "VALIDATION_ERROR",
  "INVALID_AUDIO",
  "AUDIO_TOO_LARGE",
  "AUDIO_TOO_LONG",
  "NO_SPEECH_DETECTED",
  "PAYLOAD_TOO_LARGE",
  "REQUEST_TIMEOUT",
  "UNSUPPORTED_MEDIA_TYPE",
  "NOT_ACCEPTABLE",
  "NOT_FOUND",
  "METHOD_NOT_ALLOWED",
  "SESSION_NOT_FOUND",
  "SESSION_EXPIRED",
  "SESSION_BUSY",
  "IDEMPOTENCY_KEY_REUSED",
  "TURN_CANCELLED",
  "TURN_NOT_FOUND",
  "RATE_LIMIT_EXCEEDED",
  "INVALID_OPENAI_KEY",
  "INVALID_REQUEST",
  "STT_FAILED",
  "LLM_FAILED",
  "TTS_FAILED",
  "DATABASE_UNAVAILABLE",
  "DATABASE_ERROR",
  "OVERLOADED",
  "INTERNAL_SERVER_ERROR",
] as const

/**
 * What the client itself has to say. NETWORK_LOST: no answer, or one that broke off. ABORTED: the caller's signal.
 * BAD_ANSWER: it came from something that is not this service, such as a proxy's error page.
 */
export type ClientCode = "NETWORK_LOST" | "ABORTED" | "BAD_ANSWER"
export type KnownCode = (typeof serviceCodes)[number] | ClientCode
/** A later service may have further codes. */
export type Code = KnownCode | (string & {})

export interface ErrorDetails {
  readonly code: Code
  /** For a person. */
  readonly message: string
  /** HTTP's; absent where there was no answer, and for what went wrong after its begin. */
  readonly status?: number | undefined
  /** What the service's operator finds it by in the log. */
  readonly requestId?: string | undefined
  /** Seconds. */
  readonly retryAfter?: number | undefined
  readonly cause?: unknown
}

/** Everything that a call of the client can fail with. */
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
    message: `This is no answer of the service: ${what}.`,
    status,
    cause,
  })
