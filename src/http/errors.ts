import { Schema } from "effect"
import type { AccountError } from "../accounts/errors.ts"
import type {
  AgentChanged,
  AgentInvalid,
  AgentNameTaken,
  AgentReadOnly,
  TooManyAgents,
} from "../agent/errors.ts"
import type { TurnNotFound } from "../conversation/stored-turn.ts"
import type { EncryptionUnavailable } from "../db/encryption.ts"
import type { TooManyTurns } from "../limits/admission.ts"
import type { RateLimited } from "../limits/rate-limits.ts"
import type { TooManyConnections } from "../realtime/sockets.ts"
import type { UnknownPosition } from "../schema.ts"
import type { TurnError } from "../turn/errors.ts"
import type { WebhookError } from "../webhooks/errors.ts"

/** The Authorization header is missing or has another scheme than Bearer. */
export class Unauthorized extends Schema.TaggedError<Unauthorized>()("Unauthorized", {}) {}

/** A field, a parameter or the body is missing or invalid; the message names it. */
export class ValidationFailed extends Schema.TaggedError<ValidationFailed>()("ValidationFailed", {
  message: Schema.String,
}) {}

/** The audio exceeds MAX_AUDIO_SIZE_MB. */
export class AudioTooLarge extends Schema.TaggedError<AudioTooLarge>()("AudioTooLarge", {
  maxBytes: Schema.Number,
}) {}

/** A JSON or form body exceeds its limit. */
export class PayloadTooLarge extends Schema.TaggedError<PayloadTooLarge>()("PayloadTooLarge", {
  maxBytes: Schema.Number,
}) {}

/** The body did not arrive in time. */
export class RequestTimeout extends Schema.TaggedError<RequestTimeout>()("RequestTimeout", {
  timeout: Schema.DurationFromSelf,
}) {}

/** An upload was slower than UPLOAD_MIN_KB_PER_SECOND. */
export class UploadTooSlow extends Schema.TaggedError<UploadTooSlow>()("UploadTooSlow", {
  /** Bytes per second. */
  least: Schema.Number,
  /** The interval of the measurement. */
  window: Schema.DurationFromSelf,
}) {}

export class UnsupportedMediaType extends Schema.TaggedError<UnsupportedMediaType>()("UnsupportedMediaType", {
  /** The supported type. */
  supported: Schema.String,
}) {}

/** The request body is compressed. */
export class UnsupportedContentEncoding extends Schema.TaggedError<UnsupportedContentEncoding>()(
  "UnsupportedContentEncoding",
  {},
) {}

/** The service cannot produce any type in the Accept header. */
export class NotAcceptable extends Schema.TaggedError<NotAcceptable>()("NotAcceptable", {
  available: Schema.String,
}) {}

export class PathNotFound extends Schema.TaggedError<PathNotFound>()("PathNotFound", {}) {}

export class MethodNotAllowed extends Schema.TaggedError<MethodNotAllowed>()("MethodNotAllowed", {
  allowed: Schema.Array(Schema.String),
}) {}

/** A page of an origin that CORS_ORIGIN does not list opened a WebSocket. Browsers do not apply CORS to these. */
export class OriginNotAllowed extends Schema.TaggedError<OriginNotAllowed>()("OriginNotAllowed", {}) {}

/** A request of a WebSocket route without the headers of a WebSocket handshake. */
export class UpgradeRequired extends Schema.TaggedError<UpgradeRequired>()("UpgradeRequired", {}) {}

/** A Realtime client asked for WebRTC, SIP or the beta protocol. */
export class RealtimeUnsupported extends Schema.TaggedError<RealtimeUnsupported>()(
  "RealtimeUnsupported",
  {},
) {}

/** Every error of a request. problems.ts maps each to a response. */
export type AppError =
  | TurnError
  | AccountError
  | AgentChanged
  | AgentInvalid
  | AgentNameTaken
  | AgentReadOnly
  | TooManyAgents
  | EncryptionUnavailable
  | WebhookError
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
  | UnsupportedContentEncoding
  | NotAcceptable
  | PathNotFound
  | MethodNotAllowed
  | TooManyConnections
  | OriginNotAllowed
  | UpgradeRequired
  | RealtimeUnsupported
