import { Duration, Match, Option } from "effect"
import { acceptedFormats } from "../audio/container.ts"
import type { RateLimited } from "../limits/rate-limits.ts"
import { unusable } from "../providers/sentences.ts"
import type { AppError } from "./errors.ts"
import { limitHeaders } from "./rate-headers.ts"

/** The response to an error. */
export interface Problem {
  readonly status: number
  readonly code: string
  /** For a person: what is wrong, and what to do. */
  readonly message: string
  readonly headers?: Readonly<Record<string, string>>
  /** Seconds. Present on every 429 and 503. */
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
  unknown: "Unknown API key. Register to get one, or ask the operator.",
  expired: "This API key has expired. Use another of your keys, or ask the operator for a new one.",
  secret: "Unknown or expired client secret. Create another one with your API key.",
  "secret-as-key": "A client secret only opens Realtime connections. Use an API key for this request.",
  revoked: "This API key was revoked. Use another of your keys, or ask the operator for a new one.",
} as const

const megabytes = (bytes: number) => Number((bytes / 1024 / 1024).toFixed(3))

const tooMany = ({ policy: { name, limit, windowSeconds }, retryAfter }: RateLimited) =>
  `Too many ${name.replace("-", " ")}: ${limit} ${windowSeconds === 60 ? "a minute" : "an hour"} are allowed. Please try again in ${retryAfter} s.`

/** Maps every error to a response. An error without an entry does not compile. */
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
    problem(403, "REGISTRATION_CLOSED", "Registration is closed. Ask the operator for an API key."),
  InvalidRegistrationToken: () =>
    problem(
      403,
      "INVALID_REGISTRATION_TOKEN",
      "Registration requires a token from the operator. Send it as registrationToken.",
    ),
  ApiKeyNotFound: () =>
    problem(404, "API_KEY_NOT_FOUND", "You have no such API key, or it has expired or been revoked."),
  LastApiKey: () =>
    problem(409, "LAST_API_KEY", "This is your last API key. Create another one first, or rotate this one."),
  TooManyApiKeys: ({ max }) =>
    problem(409, "TOO_MANY_API_KEYS", `You already have ${max} API keys. Revoke one first.`),
  TooManyClientSecrets: ({ max }) =>
    problem(
      409,
      "TOO_MANY_CLIENT_SECRETS",
      `You have ${max} client secrets that have not expired. Let some expire, or create them with fewer seconds.`,
    ),
  SecretNotFound: () => problem(404, "SECRET_NOT_FOUND", "You have no secret of this name."),
  TooManySecrets: ({ max }) =>
    problem(409, "TOO_MANY_SECRETS", `You already have ${max} secrets. Delete one first.`),
  AgentNotFound: () => problem(404, "AGENT_NOT_FOUND", "You have no such agent, or it has no such version."),
  AgentDeleted: () =>
    problem(
      409,
      "AGENT_DELETED",
      "The agent of this session was deleted. Give the session another agent, or create a new session.",
    ),
  AgentOutdated: ({ agentId, version, field, reason }) =>
    problem(
      409,
      "AGENT_OUTDATED",
      `Version ${version} of the agent ${agentId} was made for an earlier version of this service, and does not work with this one. ${field}: ${reason}. Change this field of the agent, and let the session have its newest version.`,
    ),
  NoGreeting: () => problem(409, "NO_GREETING", "The agent has no greeting. Set one, or begin with a turn."),
  AgentChanged: ({ version }) =>
    problem(
      409,
      "AGENT_CHANGED",
      `The agent has changed: its newest version is ${version}. Read it again, and repeat the change on that version.`,
    ),
  AgentReadOnly: () =>
    problem(
      403,
      "AGENT_READ_ONLY",
      "The operator's agent cannot be changed here. Create an agent of your own.",
    ),
  AgentNameTaken: () =>
    problem(409, "AGENT_NAME_TAKEN", "You already have an agent of this name. Choose another name."),
  TooManyAgents: ({ max }) =>
    problem(409, "TOO_MANY_AGENTS", `You already have ${max} agents. Delete one first.`),
  AgentInvalid: ({ field, reason }) => problem(400, "VALIDATION_ERROR", `${field}: ${reason}`),
  MetadataMissing: ({ name, field, explanation }) =>
    problem(
      400,
      "VALIDATION_ERROR",
      `metadata.${name}: ${explanation}. Set it, or write {{${name} | a fallback}} in the ${field}.`,
    ),
  EncryptionUnavailable: () =>
    problem(
      500,
      "ENCRYPTION_UNAVAILABLE",
      "Secrets cannot be stored on this server at the moment. Tell the operator.",
    ),
  WebhookNotFound: () => problem(404, "WEBHOOK_NOT_FOUND", "You have no such webhook."),
  DeliveryNotFound: () =>
    problem(
      404,
      "DELIVERY_NOT_FOUND",
      "The webhook has no such delivery. Deliveries are kept for 7 days after their end.",
    ),
  TooManyWebhooks: ({ max }) =>
    problem(409, "TOO_MANY_WEBHOOKS", `You already have ${max} webhooks. Delete one first.`),
  TooManyWebhookSecrets: ({ max }) =>
    problem(
      409,
      "TOO_MANY_WEBHOOK_SECRETS",
      `${max} old secrets of the webhook still sign. Wait until one expires, or rotate with graceSeconds 0: then none of them signs.`,
    ),
  TooManyReplays: ({ max }) =>
    problem(
      409,
      "TOO_MANY_REPLAYS",
      `You have ${max} replays that are not sent yet. Try again when some are sent, or disable a webhook to end its replays.`,
    ),
  WebhookUrlRefused: ({ reason }) => problem(400, "VALIDATION_ERROR", `url: ${reason}.`),
  WebhookDisabled: () =>
    problem(409, "WEBHOOK_DISABLED", "The webhook is disabled. Set enabled to true first."),
  EmailTaken: () =>
    problem(
      409,
      "EMAIL_TAKEN",
      "This e-mail address is already registered. Use the API key from its registration.",
    ),
  ValidationFailed: ({ message }) => problem(400, "VALIDATION_ERROR", message),
  UnknownPosition: ({ field, is }) =>
    problem(400, "VALIDATION_ERROR", `${field}: not a ${is} returned by this endpoint.`),
  InvalidAudio: ({ isTooSlow }) =>
    problem(
      400,
      "INVALID_AUDIO",
      isTooSlow
        ? `Decoding took too long. Send a shorter recording, as ${acceptedFormats}.`
        : `This file could not be decoded as audio. Send ${acceptedFormats}.`,
    ),
  AudioTooLarge: ({ maxBytes }) =>
    problem(
      400,
      "AUDIO_TOO_LARGE",
      `The audio is larger than ${megabytes(maxBytes)} MB. Send a shorter recording.`,
    ),
  AudioTooShort: ({ minSeconds }) =>
    problem(
      400,
      "INVALID_AUDIO",
      `The recording is shorter than ${minSeconds} seconds. Send a longer recording.`,
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
      `The request body is larger than ${maxBytes < 1024 ** 2 ? `${maxBytes / 1024} KB` : `${megabytes(maxBytes)} MB`}.`,
    ),
  RequestTimeout: ({ timeout }) =>
    problem(
      408,
      "REQUEST_TIMEOUT",
      `The request body did not arrive within ${Duration.toSeconds(timeout)} seconds. Send a smaller body, or use a faster connection.`,
    ),
  UploadTooSlow: ({ least, window }) =>
    problem(
      408,
      "REQUEST_TIMEOUT",
      `The upload was slower than ${Number((least / 1024).toFixed(3))} KB per second for ${Duration.toSeconds(window)} seconds. Use a faster connection.`,
    ),
  UnsupportedMediaType: ({ supported }) =>
    problem(
      415,
      "UNSUPPORTED_MEDIA_TYPE",
      `The Content-Type of the request body is not supported. Use ${supported}.`,
    ),
  UnsupportedContentEncoding: () =>
    problem(
      415,
      "UNSUPPORTED_MEDIA_TYPE",
      "The Content-Encoding of the request body is not supported. Send the body uncompressed, without Content-Encoding.",
      // RFC 9110, section 15.5.16.
      { headers: { "accept-encoding": "identity" } },
    ),
  NotAcceptable: ({ available }) =>
    problem(
      406,
      "NOT_ACCEPTABLE",
      `None of the types in the Accept header is available. Accept one of ${available}.`,
    ),
  PathNotFound: () => problem(404, "NOT_FOUND", "There is nothing at this path."),
  MethodNotAllowed: ({ allowed }) =>
    problem(405, "METHOD_NOT_ALLOWED", `This path supports ${allowed.join(", ")}.`, {
      headers: { allow: allowed.join(", ") },
    }),
  MemoryNotFound: () => problem(404, "MEMORY_NOT_FOUND", "There is no such memory."),
  SessionNotFound: () => problem(404, "SESSION_NOT_FOUND", "There is no such session."),
  SessionExpired: () =>
    problem(
      409,
      "SESSION_EXPIRED",
      "The session has expired. It can still be read; create a new one to continue.",
    ),
  SessionBusy: () =>
    problem(
      409,
      "SESSION_BUSY",
      "Earlier turns of this session are still running. Wait until they end, or cancel them.",
    ),
  IdempotencyKeyReused: () =>
    problem(
      422,
      "IDEMPOTENCY_KEY_REUSED",
      "This Idempotency-Key was already used for a different request. Use a new key for each request.",
    ),
  ToolResultsMismatch: ({ field, reason }) => problem(422, "TOOL_RESULTS_MISMATCH", `${field}: ${reason}.`),
  ToolCallAnswered: ({ callId }) =>
    problem(
      409,
      "TOOL_CALL_ANSWERED",
      `The call ${callId} already has a result. Read the session's messages for what the agent made of it.`,
    ),
  ToolCallsClosed: () =>
    problem(
      409,
      "TOOL_CALLS_CLOSED",
      "The conversation has gone on without these results, and the agent knows that there are none. Send what they say as a message.",
    ),
  TurnCancelled: () => problem(409, "TURN_CANCELLED", "The turn was cancelled."),
  TurnNotFound: () => problem(404, "TURN_NOT_FOUND", "There is no such turn."),
  QuotaExceeded: ({ limit, currency, resetsAt, retryAfter }) =>
    problem(
      429,
      "QUOTA_EXCEEDED",
      `Your monthly limit of ${limit} ${currency} is used up. It resets at ${resetsAt.toISOString()}. For a higher limit, ask the operator.`,
      { retryAfter },
    ),
  Overloaded: ({ retryAfter }) =>
    problem(503, "OVERLOADED", "The server is at capacity. Please try again shortly.", {
      retryAfter,
    }),
  TooManyTurns: ({ most, retryAfter }) =>
    problem(
      429,
      "RATE_LIMIT_EXCEEDED",
      `You have ${most} turns in progress, the maximum per user. Wait until one ends, or cancel one.`,
      { retryAfter },
    ),
  TooManyConnections: ({ most }) =>
    problem(
      429,
      "RATE_LIMIT_EXCEEDED",
      `You have ${most} Realtime sessions open, the maximum per user. Close one.`,
    ),
  OriginNotAllowed: () =>
    problem(
      403,
      "ORIGIN_NOT_ALLOWED",
      "Pages of this origin may not connect. Ask the operator to add it to CORS_ORIGIN.",
    ),
  UpgradeRequired: () =>
    problem(
      426,
      "UPGRADE_REQUIRED",
      "This path is for WebSocket connections. Use a ws:// or wss:// URL, and let proxies pass the Upgrade header.",
      { headers: { upgrade: "websocket", connection: "Upgrade" } },
    ),
  RealtimeUnsupported: () =>
    problem(
      400,
      "REALTIME_UNSUPPORTED",
      "This server has no WebRTC, no SIP and no beta protocol. Connect a WebSocket to v1/realtime, which speaks OpenAI's GA protocol. For a browser, create a client secret first.",
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
      "The speech provider refused this server's API key. Tell the operator.",
    ),
  ProviderRefusedRequest: ({ message }) => problem(400, "INVALID_REQUEST", message),
  ProviderUnusable: ({ stage, kind }) =>
    kind === undefined ? stageFailed[stage] : { ...stageFailed[stage], message: unusable(stage, kind) },
  DatabaseUnavailable: () =>
    problem(503, "DATABASE_UNAVAILABLE", "The database is not available at the moment. Please try again."),
  ConstraintViolated: () =>
    problem(400, "DATABASE_ERROR", "This could not be stored: it conflicts with stored data."),
})

/** For the log only: the client is gone. 499 is nginx's status for it. */
export const clientLeft = problem(499, "CLIENT_LEFT", "The client disconnected before the response.")

/** The log has the cause; the response has it in development only. */
export const defect = (error: unknown, environment: string): Problem =>
  problem(
    500,
    "INTERNAL_SERVER_ERROR",
    environment === "development" && error instanceof Error
      ? error.message
      : "Something went wrong on our side. Please try again, and report the request id if it persists.",
  )
