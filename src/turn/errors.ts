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
