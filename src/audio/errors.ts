import { Schema } from "effect"

/** The file has none of the accepted formats, or no sample of it decodes within the limits on time and memory. */
export class InvalidAudio extends Schema.TaggedError<InvalidAudio>()("InvalidAudio", {
  /** For the log only. */
  reason: Schema.String,
  /** True if the file may be audio, but decoding it took too long. */
  isTooSlow: Schema.optionalWith(Schema.Boolean, { default: () => false }),
}) {}

/** The recording is too short for a recognizer. */
export class AudioTooShort extends Schema.TaggedError<AudioTooShort>()("AudioTooShort", {
  minSeconds: Schema.Number,
}) {}

/** The recording is longer than MAX_AUDIO_DURATION_SECONDS. */
export class AudioTooLong extends Schema.TaggedError<AudioTooLong>()("AudioTooLong", {
  maxSeconds: Schema.Number,
}) {}

/** The recording is silent, or its transcript has no words. */
export class NoSpeechDetected extends Schema.TaggedError<NoSpeechDetected>()("NoSpeechDetected", {}) {}
