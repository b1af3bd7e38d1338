import { Duration, Option } from "effect"
import {
  ApiKeyNotFound,
  EmailTaken,
  InvalidApiKey,
  InvalidRegistrationToken,
  LastApiKey,
  MemoryNotFound,
  RegistrationClosed,
  SecretNotFound,
  TooManyApiKeys,
  TooManyClientSecrets,
  TooManySecrets,
} from "../../accounts/errors.ts"
import {
  AgentChanged,
  AgentDeleted,
  AgentInvalid,
  AgentNameTaken,
  AgentNotFound,
  AgentOutdated,
  AgentReadOnly,
  MetadataMissing,
  NoGreeting,
  TooManyAgents,
} from "../../agent/errors.ts"
import { AudioTooLong, AudioTooShort, InvalidAudio, NoSpeechDetected } from "../../audio/errors.ts"
import type { Settings } from "../../config.ts"
import { ToolCallAnswered, ToolCallsClosed, ToolResultsMismatch } from "../../conversation/call-results.ts"
import { SessionExpired, SessionNotFound } from "../../conversation/model.ts"
import {
  IdempotencyKeyReused,
  SessionBusy,
  TurnCancelled,
  TurnNotFound,
} from "../../conversation/stored-turn.ts"
import { EncryptionUnavailable } from "../../db/encryption.ts"
import { ConstraintViolated, DatabaseUnavailable } from "../../db/errors.ts"
import { Overloaded, TooManyTurns } from "../../limits/admission.ts"
import { RateLimited } from "../../limits/rate-limits.ts"
import {
  finalAnswer,
  ProviderRateLimited,
  ProviderRefusedKey,
  ProviderRefusedRequest,
  UnusableKind,
  wrongAnswer,
} from "../../providers/errors.ts"
import { TooManyConnections } from "../../realtime/sockets.ts"
import { UnknownPosition } from "../../schema.ts"
import { QuotaExceeded } from "../../usage/spending.ts"
import {
  DeliveryNotFound,
  TooManyReplays,
  TooManyWebhookSecrets,
  TooManyWebhooks,
  WebhookDisabled,
  WebhookNotFound,
  WebhookUrlRefused,
} from "../../webhooks/errors.ts"
import { mediaTypes } from "../accept.ts"
import {
  type AppError,
  AudioTooLarge,
  MethodNotAllowed,
  NotAcceptable,
  OriginNotAllowed,
  PathNotFound,
  PayloadTooLarge,
  RealtimeUnsupported,
  RequestTimeout,
  Unauthorized,
  UnsupportedContentEncoding,
  UnsupportedMediaType,
  UpgradeRequired,
  UploadTooSlow,
  ValidationFailed,
} from "../errors.ts"

type Tag = AppError["_tag"]

/** Examples of each error: one for each of its codes. */
export type Examples = {
  readonly [tag in Tag]: ReadonlyArray<Extract<AppError, { readonly _tag: tag }>>
}

const overLimit = (name: string, limit: number, windowSeconds: number) =>
  new RateLimited({ policy: { name, limit, windowSeconds }, retryAfter: Math.ceil(windowSeconds / limit) })

/** With the default limits. */
export const rateLimited = {
  turns: overLimit("turns", 30, 60),
  requests: overLimit("requests", 300, 60),
  registrations: overLimit("registrations", 20, 3600),
  logins: overLimit("logins", 30, 60),
} as const

const stages = ["stt", "llm", "tts"] as const

/** An example of every error, with this service's limits. An error without an example does not compile. */
export const makeExamples = ({
  maxAudioBytes,
  maxAudioSeconds,
  maxRealtimeSessionsPerUser,
  maxTurnsPerUser,
}: Pick<
  Settings["Type"],
  "maxAudioBytes" | "maxAudioSeconds" | "maxRealtimeSessionsPerUser" | "maxTurnsPerUser"
>): Examples => ({
  Unauthorized: [new Unauthorized()],
  InvalidApiKey: [new InvalidApiKey({ reason: "unknown" })],
  RegistrationClosed: [new RegistrationClosed()],
  InvalidRegistrationToken: [new InvalidRegistrationToken()],
  ApiKeyNotFound: [new ApiKeyNotFound()],
  LastApiKey: [new LastApiKey()],
  TooManyApiKeys: [new TooManyApiKeys({ max: 20 })],
  TooManyClientSecrets: [new TooManyClientSecrets({ max: 1000 })],
  MemoryNotFound: [new MemoryNotFound()],
  SecretNotFound: [new SecretNotFound()],
  TooManySecrets: [new TooManySecrets({ max: 100 })],
  EncryptionUnavailable: [new EncryptionUnavailable({ reason: "an example" })],
  AgentNotFound: [new AgentNotFound()],
  AgentDeleted: [new AgentDeleted()],
  AgentOutdated: [
    new AgentOutdated({
      agentId: "5d0f7c1e-6f0f-4c36-9d5e-0a3b1f6a7c22",
      version: 3,
      field: "tools.0.url",
      reason: "must have at most 4096 characters",
    }),
  ],
  NoGreeting: [new NoGreeting()],
  AgentChanged: [new AgentChanged({ version: 4 })],
  AgentReadOnly: [new AgentReadOnly()],
  AgentNameTaken: [new AgentNameTaken()],
  TooManyAgents: [new TooManyAgents({ max: 100 })],
  AgentInvalid: [new AgentInvalid({ field: "llm.model", reason: "must be gpt-4o-mini" })],
  MetadataMissing: [new MetadataMissing({ name: "customer", field: "instructions", found: "nothing" })],
  WebhookNotFound: [new WebhookNotFound()],
  DeliveryNotFound: [new DeliveryNotFound()],
  TooManyWebhooks: [new TooManyWebhooks({ max: 20 })],
  TooManyWebhookSecrets: [new TooManyWebhookSecrets({ max: 5 })],
  TooManyReplays: [new TooManyReplays({ max: 10_000 })],
  WebhookDisabled: [new WebhookDisabled()],
  WebhookUrlRefused: [new WebhookUrlRefused({ reason: "must start with https://" })],
  EmailTaken: [new EmailTaken()],
  ValidationFailed: [new ValidationFailed({ message: "body: must be an object" })],
  UnknownPosition: [UnknownPosition.cursor()],
  InvalidAudio: [new InvalidAudio({ reason: "an example" })],
  AudioTooLarge: [new AudioTooLarge({ maxBytes: maxAudioBytes })],
  AudioTooShort: [new AudioTooShort({ minSeconds: 0.1 })],
  AudioTooLong: [new AudioTooLong({ maxSeconds: maxAudioSeconds })],
  NoSpeechDetected: [new NoSpeechDetected()],
  PayloadTooLarge: [new PayloadTooLarge({ maxBytes: 1024 ** 2 })],
  RequestTimeout: [new RequestTimeout({ timeout: Duration.seconds(30) })],
  UploadTooSlow: [new UploadTooSlow({ least: 1024, window: Duration.seconds(15) })],
  UnsupportedMediaType: [new UnsupportedMediaType({ supported: "application/json" })],
  UnsupportedContentEncoding: [new UnsupportedContentEncoding()],
  NotAcceptable: [new NotAcceptable({ available: mediaTypes.join(", ") })],
  PathNotFound: [new PathNotFound()],
  MethodNotAllowed: [new MethodNotAllowed({ allowed: ["GET", "HEAD", "OPTIONS"] })],
  TooManyConnections: [new TooManyConnections({ most: maxRealtimeSessionsPerUser || 32 })],
  OriginNotAllowed: [new OriginNotAllowed()],
  UpgradeRequired: [new UpgradeRequired()],
  RealtimeUnsupported: [new RealtimeUnsupported()],
  SessionNotFound: [new SessionNotFound()],
  SessionExpired: [new SessionExpired()],
  SessionBusy: [new SessionBusy()],
  IdempotencyKeyReused: [new IdempotencyKeyReused()],
  ToolResultsMismatch: [
    new ToolResultsMismatch({
      field: "results.0.callId",
      reason: "the turn has no such call for its client",
    }),
  ],
  ToolCallAnswered: [new ToolCallAnswered({ callId: "call_1" })],
  ToolCallsClosed: [new ToolCallsClosed()],
  TurnCancelled: [new TurnCancelled()],
  TurnNotFound: [new TurnNotFound()],
  Overloaded: [new Overloaded({ reason: "turns", retryAfter: 2 })],
  TooManyTurns: [new TooManyTurns({ most: maxTurnsPerUser || 4, retryAfter: 2 })],
  RateLimited: [rateLimited.requests],
  QuotaExceeded: [
    new QuotaExceeded({
      limit: 10,
      currency: "USD",
      resetsAt: new Date("2026-02-01T00:00:00Z"),
      retryAfter: 86_400,
    }),
  ],
  ProviderRateLimited: [new ProviderRateLimited({ stage: "llm", retryAfter: Option.none() })],
  ProviderRefusedKey: [new ProviderRefusedKey({ stage: "llm" })],
  ProviderRefusedRequest: [
    new ProviderRefusedRequest({ stage: "llm", message: "The provider refused the request." }),
  ],
  ProviderUnusable: [
    ...stages.map((stage) => wrongAnswer(stage, "an example")),
    ...UnusableKind.literals.map((kind) => finalAnswer("llm", kind, "an example")),
  ],
  DatabaseUnavailable: [new DatabaseUnavailable({ cause: "an example" })],
  ConstraintViolated: [new ConstraintViolated({ constraint: "an example", cause: "an example" })],
})
