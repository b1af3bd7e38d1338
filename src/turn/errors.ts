import type { AgentUnavailable } from "../agent/errors.ts"
import type { AudioTooLong, AudioTooShort, InvalidAudio, NoSpeechDetected } from "../audio/errors.ts"
import type { CallsRefusal } from "../conversation/call-results.ts"
import type { SessionExpired, SessionNotFound } from "../conversation/model.ts"
import type { IdempotencyKeyReused, SessionBusy, TurnCancelled } from "../conversation/stored-turn.ts"
import type { DatabaseError } from "../db/errors.ts"
import type { Overloaded } from "../limits/admission.ts"
import type { ProviderError } from "../providers/errors.ts"
import type { QuotaExceeded } from "../usage/spending.ts"

/** All that a turn can fail with. */
export type TurnError =
  | AgentUnavailable
  | InvalidAudio
  | AudioTooShort
  | AudioTooLong
  | NoSpeechDetected
  | Overloaded
  | ProviderError
  | SessionNotFound
  | SessionExpired
  | SessionBusy
  | IdempotencyKeyReused
  | TurnCancelled
  | CallsRefusal
  | QuotaExceeded
  | DatabaseError

/** The codes of docs/reference/errors.md. A test compares them with the table of problems. */
const codes = {
  AgentNotFound: "AGENT_NOT_FOUND",
  AgentDeleted: "AGENT_DELETED",
  AgentOutdated: "AGENT_OUTDATED",
  MetadataMissing: "VALIDATION_ERROR",
  NoGreeting: "NO_GREETING",
  InvalidAudio: "INVALID_AUDIO",
  AudioTooShort: "INVALID_AUDIO",
  AudioTooLong: "AUDIO_TOO_LONG",
  NoSpeechDetected: "NO_SPEECH_DETECTED",
  Overloaded: "OVERLOADED",
  ProviderRateLimited: "RATE_LIMIT_EXCEEDED",
  ProviderRefusedKey: "INVALID_OPENAI_KEY",
  ProviderRefusedRequest: "INVALID_REQUEST",
  SessionNotFound: "SESSION_NOT_FOUND",
  SessionExpired: "SESSION_EXPIRED",
  SessionBusy: "SESSION_BUSY",
  IdempotencyKeyReused: "IDEMPOTENCY_KEY_REUSED",
  TurnCancelled: "TURN_CANCELLED",
  ToolResultsMismatch: "TOOL_RESULTS_MISMATCH",
  ToolCallAnswered: "TOOL_CALL_ANSWERED",
  ToolCallsClosed: "TOOL_CALLS_CLOSED",
  QuotaExceeded: "QUOTA_EXCEEDED",
  DatabaseUnavailable: "DATABASE_UNAVAILABLE",
  ConstraintViolated: "DATABASE_ERROR",
} as const satisfies Record<Exclude<TurnError["_tag"], "ProviderUnusable">, string>

const stageCodes = { stt: "STT_FAILED", llm: "LLM_FAILED", tts: "TTS_FAILED" } as const

/** The code of the problem that a client gets for this error. */
export const codeOf = (error: TurnError): string =>
  error._tag === "ProviderUnusable" ? stageCodes[error.stage] : codes[error._tag]

const refusals: ReadonlyArray<TurnError["_tag"]> = [
  "AgentNotFound",
  "AgentDeleted",
  "AgentOutdated",
  "MetadataMissing",
  "NoGreeting",
  "QuotaExceeded",
]

/** The request was refused before anything of its turn ran. */
export const isRefusal = ({ _tag }: TurnError): boolean => refusals.includes(_tag)
