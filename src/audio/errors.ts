import { Schema } from "effect"

/** Not one of the formats by its content, or nothing in it decodes to a sample within the bounds on time and memory. */
export class InvalidAudio extends Schema.TaggedError<InvalidAudio>()("InvalidAudio", {
  /** For the log. */
  reason: Schema.String,
  /** True where it may be audio, and decoding it took too long. */
  isTooSlow: Schema.optionalWith(Schema.Boolean, { default: () => false }),
}) {}

/** Decodes to more than MAX_AUDIO_DURATION_SECONDS. */
export class AudioTooLong extends Schema.TaggedError<AudioTooLong>()("AudioTooLong", {
  maxSeconds: Schema.Number,
}) {}

/** The recording is silent, or its transcript is empty. */
export class NoSpeechDetected extends Schema.TaggedError<NoSpeechDetected>()("NoSpeechDetected", {}) {}
