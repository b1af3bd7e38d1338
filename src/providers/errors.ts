import { Duration, Option, Schema } from "effect"
import { Stage } from "../schema.ts"

/** The provider's Retry-After. None: the provider gave none. */
const retryAfter = Schema.OptionFromSelf(Schema.DurationFromSelf)

/** The provider's 429. `exhausted`: the account's quota is spent, so no pause helps. */
export class ProviderRateLimited extends Schema.TaggedError<ProviderRateLimited>()("ProviderRateLimited", {
  stage: Stage,
  retryAfter,
  exhausted: Schema.Boolean,
}) {}

/** The provider's 401 or 403: the key of this server is wrong, not the key of the client. */
export class ProviderRefusedKey extends Schema.TaggedError<ProviderRefusedKey>()("ProviderRefusedKey", {
  stage: Stage,
}) {}

/** The provider's 400. */
export class ProviderRefusedRequest extends Schema.TaggedError<ProviderRefusedRequest>()(
  "ProviderRefusedRequest",
  {
    stage: Stage,
    /** The provider's own sentence. It may quote the conversation: send it to the client, never log it. */
    message: Schema.String,
  },
) {}

/** No usable answer: a network error, a time-out, a 5xx, another 4xx, or an answer of the wrong kind. */
export class ProviderUnusable extends Schema.TaggedError<ProviderUnusable>()("ProviderUnusable", {
  stage: Stage,
  /** For the log. */
  reason: Schema.String,
  retryable: Schema.Boolean,
  retryAfter,
}) {}

export type ProviderError =
  | ProviderRateLimited
  | ProviderRefusedKey
  | ProviderRefusedRequest
  | ProviderUnusable

/** The answer is not what the request asked for: HTML for audio, cut-off JSON, a stream without its end mark. */
export const wrongAnswer = (stage: Stage, reason: string) =>
  new ProviderUnusable({ stage, reason, retryable: true, retryAfter: Option.none() })

export const timedOut = (stage: Stage, after: Duration.Duration) =>
  wrongAnswer(stage, `no answer within ${Duration.toSeconds(after)} s`)

/** The cause of an error, for the log. */
export const reasonOf = (error: ProviderError): string =>
  error._tag === "ProviderUnusable" ? error.reason : error._tag
