import { Duration, Match, Option } from "effect"
import { acceptedFormats } from "../audio/container.ts"
import type { RateLimited } from "../limits/rate-limits.ts"
import type { AppError } from "./errors.ts"
import { limitHeaders } from "./rate-headers.ts"

/** What a caller is told of an error. */
export interface Problem {
  readonly status: number
  readonly code: string
  /** For a person, and what to do. */
  readonly message: string
  readonly headers?: Readonly<Record<string, string>>
  /** Seconds. On every 429 and 503. */
  readonly retryAfter?: number
}

const problem = (status: number, code: string, message: string, more?: Partial<Problem>): Problem => ({
  status,
  code,
  message,
  ...(status === 429 || status === 503 ? { retryAfter: 1 } : {}),
  ...more,
})

const stageFailed = {
  stt: problem(500, "STT_FAILED", "Your speech could not be transcribed. Please try again."),
  llm: problem(500, "LLM_FAILED", "No reply could be generated. Please try again."),
  tts: problem(500, "TTS_FAILED", "The reply could not be spoken. Please try again."),
} as const

const invalidKey = {
  unknown: "Unknown API key. Register to get one.",
  expired: "This API key has expired. Use another of your keys, or ask the operator for a new one.",
  revoked: "This API key was revoked. Use another of your keys, or ask the operator for a new one.",
} as const

const megabytes = (bytes: number) => Number((bytes / 1024 / 1024).toFixed(3))

const tooMany = ({ policy: { name, limit, windowSeconds }, retryAfter }: RateLimited) =>
  `Too many ${name.replace("-", " ")}: ${limit} ${windowSeconds === 60 ? "a minute" : "an hour"} are allowed. Please try again in ${retryAfter} s.`

/** Every error of the service and its answer: an error without a line here does not compile. */
export const toProblem: (error: AppError) => Problem = Match.typeTags<AppError>()({
  Unauthorized: () =>
    problem(
      401,
      "UNAUTHORIZED",
      "Missing or invalid authorization header. Use: Authorization: Bearer <api-key>",
      { headers: { "www-authenticate": "Bearer" } },
    ),
  InvalidApiKey: ({ reason }) =>
    problem(401, "INVALID_API_KEY", invalidKey[reason], {
      headers: { "www-authenticate": 'Bearer error="invalid_token"' },
    }),
  RegistrationClosed: () =>
    problem(403, "REGISTRATION_CLOSED", "Nobody can register here. Ask the operator for an API key."),
  InvalidRegistrationToken: () =>
    problem(
      403,
      "INVALID_REGISTRATION_TOKEN",
      "To register here takes the operator's token. Send it as registrationToken.",
    ),
  ApiKeyNotFound: () =>
    problem(404, "API_KEY_NOT_FOUND", "You have no such API key, or it has ended already."),
  LastApiKey: () =>
    problem(
      409,
      "LAST_API_KEY",
      "This is your last API key, and without one you could not come back. Make another first, or rotate this one.",
    ),
  TooManyApiKeys: ({ most }) =>
    problem(409, "TOO_MANY_API_KEYS", `You have ${most} API keys already. Revoke one that you do not need.`),
  EmailTaken: () =>
    problem(409, "EMAIL_TAKEN", "This e-mail is registered already. Use the key you were given then."),
  ValidationFailed: ({ message }) => problem(400, "VALIDATION_ERROR", message),
  UnknownPosition: ({ field }) =>
    problem(
      400,
      "VALIDATION_ERROR",
      `${field}: names no place in this list. Use one that an earlier page gave.`,
    ),
  InvalidAudio: ({ isTooSlow }) =>
    problem(
      400,
      "INVALID_AUDIO",
      isTooSlow
        ? `Decoding this takes longer than it may. Send a shorter recording, or a plainer one of ${acceptedFormats}.`
        : `This is no audio that can be decoded. Send one of ${acceptedFormats}.`,
    ),
  AudioTooLarge: ({ maxBytes }) =>
    problem(
      400,
      "AUDIO_TOO_LARGE",
      `The audio is larger than ${megabytes(maxBytes)} MB. Send a shorter recording.`,
    ),
  AudioTooLong: ({ maxSeconds }) =>
    problem(
      400,
      "AUDIO_TOO_LONG",
      `The audio is longer than ${maxSeconds} seconds. Send a shorter recording.`,
    ),
  NoSpeechDetected: () =>
    problem(
      400,
      "NO_SPEECH_DETECTED",
      "No speech was detected in the audio. Please speak closer to the microphone.",
    ),
  PayloadTooLarge: ({ maxBytes }) =>
    problem(
      413,
      "PAYLOAD_TOO_LARGE",
      `The body is larger than ${maxBytes < 1024 ** 2 ? `${maxBytes / 1024} KB` : `${megabytes(maxBytes)} MB`}.`,
    ),
  RequestTimeout: ({ timeout }) =>
    problem(
      408,
      "REQUEST_TIMEOUT",
      `The body did not arrive within ${Duration.toSeconds(timeout)} seconds. Send it faster, or less of it.`,
    ),
  UploadTooSlow: ({ least, window }) =>
    problem(
      408,
      "REQUEST_TIMEOUT",
      `The body came at less than ${Number((least / 1024).toFixed(3))} KB a second for ${Duration.toSeconds(window)} seconds. Send it faster, or when the network is better.`,
    ),
  UnsupportedMediaType: ({ supported }) =>
    problem(
      415,
      "UNSUPPORTED_MEDIA_TYPE",
      `The body's Content-Type is not supported here. Use ${supported}.`,
    ),
  NotAcceptable: ({ available }) =>
    problem(
      406,
      "NOT_ACCEPTABLE",
      `Nothing that the Accept header allows is available. Accept one of ${available}.`,
    ),
  PathNotFound: () => problem(404, "NOT_FOUND", "There is nothing at this path."),
  MethodNotAllowed: ({ allowed }) =>
    problem(405, "METHOD_NOT_ALLOWED", `This path takes ${allowed.join(", ")}.`, {
      headers: { allow: allowed.join(", ") },
    }),
  SessionNotFound: () => problem(404, "SESSION_NOT_FOUND", "There is no such session."),
  SessionExpired: () =>
    problem(
      409,
      "SESSION_EXPIRED",
      "The session was idle for too long: it can be read, but not gone on with. Create a new one.",
    ),
  SessionBusy: () =>
    problem(
      409,
      "SESSION_BUSY",
      "Earlier turns of this session are still running. Wait for their end, or cancel them.",
    ),
  IdempotencyKeyReused: () =>
    problem(
      422,
      "IDEMPOTENCY_KEY_REUSED",
      "This Idempotency-Key came with another turn before. Use a new key for each turn.",
    ),
  TurnCancelled: () => problem(409, "TURN_CANCELLED", "The turn was cancelled."),
  TurnNotFound: () => problem(404, "TURN_NOT_FOUND", "There is no such turn."),
  Overloaded: ({ retryAfter }) =>
    problem(503, "OVERLOADED", "This server has as much in hand as it carries. Please try again shortly.", {
      retryAfter,
    }),
  TooManyTurns: ({ most, retryAfter }) =>
    problem(
      429,
      "RATE_LIMIT_EXCEEDED",
      `You have ${most} turns in progress, which is as many as one user may have. Wait for one to end, or cancel one.`,
      { retryAfter },
    ),
  RateLimited: (error) =>
    problem(429, "RATE_LIMIT_EXCEEDED", tooMany(error), {
      retryAfter: error.retryAfter,
      headers: limitHeaders(error),
    }),
  ProviderRateLimited: ({ retryAfter }) =>
    problem(429, "RATE_LIMIT_EXCEEDED", "OpenAI API rate limit exceeded. Please try again later.", {
      retryAfter: Option.match(retryAfter, {
        onNone: () => 1,
        onSome: (wait) => Math.max(1, Math.ceil(Duration.toSeconds(wait))),
      }),
    }),
  ProviderRefusedKey: () =>
    problem(
      500,
      "INVALID_OPENAI_KEY",
      "This server's own key for its speech provider was refused. Tell its operator.",
    ),
  ProviderRefusedRequest: ({ message }) => problem(400, "INVALID_REQUEST", message),
  ProviderUnusable: ({ stage }) => stageFailed[stage],
  DatabaseUnavailable: () =>
    problem(503, "DATABASE_UNAVAILABLE", "The database is not available at the moment. Please try again."),
  ConstraintViolated: () =>
    problem(400, "DATABASE_ERROR", "This could not be stored: it conflicts with what is there."),
})

/** Nobody reads it but the request's line in the log, in which it is no error of this service. 499 as nginx has it. */
export const clientLeft = problem(499, "CLIENT_LEFT", "The client left before the answer.")

/** A defect: the cause is in the log, and told to nobody but a developer. */
export const defect = (error: unknown, environment: string): Problem =>
  problem(
    500,
    "INTERNAL_SERVER_ERROR",
    environment === "development" && error instanceof Error
      ? error.message
      : "Something went wrong on our side. Please try again, and report the request id if it persists.",
  )
