import { Schema } from "effect"
import type {
  ApiKeyNotFound,
  EmailTaken,
  InvalidApiKey,
  LastApiKey,
  TooManyApiKeys,
} from "../accounts/model.ts"
import type { InvalidRegistrationToken, RegistrationClosed } from "../accounts/registration.ts"
import type { UnknownPosition } from "../conversation/model.ts"
import type { TurnNotFound } from "../conversation/stored-turn.ts"
import type { TooManyTurns } from "../limits/admission.ts"
import type { RateLimited } from "../limits/rate-limits.ts"
import type { TurnError } from "../turn/errors.ts"

/** No Authorization header, or one that is no Bearer. */
export class Unauthorized extends Schema.TaggedError<Unauthorized>()("Unauthorized", {}) {}

/** A field, a parameter or a whole body is missing or wrong; the message names it. */
export class ValidationFailed extends Schema.TaggedError<ValidationFailed>()("ValidationFailed", {
  message: Schema.String,
}) {}

/** The audio is over MAX_AUDIO_SIZE_MB. */
export class AudioTooLarge extends Schema.TaggedError<AudioTooLarge>()("AudioTooLarge", {
  maxBytes: Schema.Number,
}) {}

/** A JSON or form body is over its limit. */
export class PayloadTooLarge extends Schema.TaggedError<PayloadTooLarge>()("PayloadTooLarge", {
  maxBytes: Schema.Number,
}) {}

/** A body did not come to its end in time. */
export class RequestTimeout extends Schema.TaggedError<RequestTimeout>()("RequestTimeout", {
  timeout: Schema.DurationFromSelf,
}) {}

/** An upload came more slowly than UPLOAD_MIN_KB_PER_SECOND. */
export class UploadTooSlow extends Schema.TaggedError<UploadTooSlow>()("UploadTooSlow", {
  /** Bytes per second. */
  least: Schema.Number,
  /** For which it came more slowly. */
  window: Schema.DurationFromSelf,
}) {}

export class UnsupportedMediaType extends Schema.TaggedError<UnsupportedMediaType>()("UnsupportedMediaType", {
  /** What is taken instead. */
  supported: Schema.String,
}) {}

/** Nothing that the Accept header allows can be made. */
export class NotAcceptable extends Schema.TaggedError<NotAcceptable>()("NotAcceptable", {
  available: Schema.String,
}) {}

export class PathNotFound extends Schema.TaggedError<PathNotFound>()("PathNotFound", {}) {}

export class MethodNotAllowed extends Schema.TaggedError<MethodNotAllowed>()("MethodNotAllowed", {
  allowed: Schema.Array(Schema.String),
}) {}

/** All that a request can fail with. */
export type AppError =
  | TurnError
  | EmailTaken
  | InvalidApiKey
  | RegistrationClosed
  | InvalidRegistrationToken
  | ApiKeyNotFound
  | LastApiKey
  | TooManyApiKeys
  | UnknownPosition
  | TurnNotFound
  | TooManyTurns
  | RateLimited
  | Unauthorized
  | ValidationFailed
  | AudioTooLarge
  | PayloadTooLarge
  | RequestTimeout
  | UploadTooSlow
  | UnsupportedMediaType
  | NotAcceptable
  | PathNotFound
  | MethodNotAllowed
