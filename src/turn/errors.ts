import { Schema } from "effect"
import type { SessionExpired, SessionNotFound } from "../conversation/model.ts"
import type { IdempotencyKeyReused, SessionBusy, TurnCancelled } from "../conversation/stored-turn.ts"
import type { DatabaseError } from "../db/errors.ts"
import type { Overloaded } from "../limits/admission.ts"
import type { ProviderError } from "../providers/errors.ts"

/** Not one of the formats by its content, or nothing in it decodes to a sample within the bounds on time and memory. */
export class InvalidAudio extends Schema.TaggedError<InvalidAudio>()("InvalidAudio", {
  /** For the log. */
  reason: Schema.String,
  /** Whether it may be audio, and its decoding took longer than it may. */
  isTooSlow: Schema.optionalWith(Schema.Boolean, { default: () => false }),
}) {}

/** Decodes to more than MAX_AUDIO_DURATION_SECONDS. */
export class AudioTooLong extends Schema.TaggedError<AudioTooLong>()("AudioTooLong", {
  maxSeconds: Schema.Number,
}) {}

/** The transcript is empty. */
export class NoSpeechDetected extends Schema.TaggedError<NoSpeechDetected>()("NoSpeechDetected", {}) {}

/** All that a turn can fail with. */
export type TurnError =
  | InvalidAudio
  | AudioTooLong
  | NoSpeechDetected
  | Overloaded
  | ProviderError
  | SessionNotFound
  | SessionExpired
  | SessionBusy
  | IdempotencyKeyReused
  | TurnCancelled
  | DatabaseError
