import { Cause, Option } from "effect"
import type { TooManyTurns } from "../limits/admission.ts"
import type { RateLimited } from "../limits/rate-limits.ts"
import type { ProviderError } from "../providers/errors.ts"
import { unusable } from "../providers/sentences.ts"
import type { Stage } from "../schema.ts"
import type { TurnError } from "../turn/errors.ts"

/**
 * Why a response or a transcription failed, as `status_details.error` and the error of a failed transcription show it. Never
 * one of the codes that end LiveKit's session (insufficient_quota, invalid_api_key, account_deactivated,
 * billing_hard_limit_reached): the next try may succeed.
 */
export interface Failure {
  readonly type: "invalid_request_error" | "rate_limit_error" | "server_error"
  readonly code: string
  readonly message: string
}

/** All that a response can fail with. */
export type ResponseError = TurnError | RateLimited | TooManyTurns

const serverError = (code: string, message: string): Failure => ({ type: "server_error", code, message })
const invalid = (code: string, message: string): Failure => ({ type: "invalid_request_error", code, message })
const limited = (message: string): Failure => ({
  type: "rate_limit_error",
  code: "rate_limit_exceeded",
  message,
})

const stageFailed: Readonly<Record<Stage, Failure>> = {
  stt: serverError("transcription_failed", "Your speech could not be transcribed. Please try again."),
  llm: serverError("model_failed", "No reply could be generated. Please try again."),
  tts: serverError("speech_failed", "The reply could not be spoken. Please try again."),
}

const unavailable = "The database is not available at the moment. Please try again."

/** A fault of our own, whose cause is in the log. */
const defect = serverError("server_error", "Something went wrong on our side. Please try again.")

const ofProvider = (error: ProviderError): Failure => {
  switch (error._tag) {
    case "ProviderRateLimited":
      return limited("The provider's rate limit is exceeded. Please try again later.")
    case "ProviderRefusedKey":
      return serverError(
        "provider_refused_server",
        "The provider refused this server's API key. Tell the operator.",
      )
    case "ProviderRefusedRequest":
      return invalid("provider_refused_request", error.message)
    case "ProviderUnusable": {
      const failed = stageFailed[error.stage]
      return error.kind === undefined ? failed : { ...failed, message: unusable(error.stage, error.kind) }
    }
  }
}

const toFailure = (error: ResponseError): Failure => {
  switch (error._tag) {
    case "ProviderRateLimited":
    case "ProviderRefusedKey":
    case "ProviderRefusedRequest":
    case "ProviderUnusable":
      return ofProvider(error)
    case "RateLimited":
      return limited(
        `Too many ${error.policy.name}: ${error.policy.limit} a minute are allowed. Please try again in ${error.retryAfter} s.`,
      )
    case "QuotaExceeded":
      return {
        type: "rate_limit_error",
        code: "quota_exceeded",
        message: `Your monthly limit of ${error.limit} ${error.currency} is used up. It resets at ${error.resetsAt.toISOString()}. For a higher limit, ask the operator.`,
      }
    case "TooManyTurns":
      return limited(`You have ${error.most} turns in progress, the maximum per user. Wait until one ends.`)
    case "Overloaded":
      return serverError("server_overloaded", "The server is at capacity. Please try again shortly.")
    case "DatabaseUnavailable":
      return serverError("database_unavailable", unavailable)
    case "ConstraintViolated":
      return serverError("database_error", "This could not be stored: it conflicts with stored data.")
    case "SessionNotFound":
      return invalid(
        "session_not_found",
        "The stored session of this conversation was deleted. Connect again.",
      )
    case "SessionExpired":
      return invalid("session_expired", "The stored session of this conversation has expired. Connect again.")
    case "SessionBusy":
      return serverError(
        "session_busy",
        "Earlier turns of this session are still running. Wait until they end, or cancel them.",
      )
    case "AgentNotFound":
    case "AgentDeleted":
      return invalid("agent_deleted", "The agent of this conversation was deleted. Connect again.")
    case "AgentOutdated":
      return invalid(
        "agent_outdated",
        `The agent of this conversation does not work with this version of the service. ${error.field}: ${error.reason}. Change this field of the agent, and connect again.`,
      )
    case "MetadataMissing":
      return invalid(
        "metadata_missing",
        `metadata.${error.name}: ${error.explanation}. Set it, and try again.`,
      )
    case "NoGreeting":
    case "InvalidAudio":
    case "AudioTooShort":
    case "AudioTooLong":
    case "NoSpeechDetected":
    case "IdempotencyKeyReused":
    case "TurnCancelled":
    case "ToolResultsMismatch":
    case "ToolCallAnswered":
    case "ToolCallsClosed":
      return defect
  }
}

/** The failure that a cause stands for; a defect for one that is not an expected error. */
export const failureOf = (cause: Cause.Cause<ResponseError>): Failure =>
  Option.match(Cause.failureOption(cause), { onNone: () => defect, onSome: toFailure })
