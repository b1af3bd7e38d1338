import { Schema } from "effect"

/** The user has no such webhook. */
export class WebhookNotFound extends Schema.TaggedError<WebhookNotFound>()("WebhookNotFound", {}) {}

/** The webhook has no such delivery, or it is no longer kept. */
export class DeliveryNotFound extends Schema.TaggedError<DeliveryNotFound>()("DeliveryNotFound", {}) {}

export class TooManyWebhooks extends Schema.TaggedError<TooManyWebhooks>()("TooManyWebhooks", {
  max: Schema.Number,
}) {}

/** So many old secrets of the webhook still sign. */
export class TooManyWebhookSecrets extends Schema.TaggedError<TooManyWebhookSecrets>()(
  "TooManyWebhookSecrets",
  { max: Schema.Number },
) {}

/** So many replays of the user wait to be sent. */
export class TooManyReplays extends Schema.TaggedError<TooManyReplays>()("TooManyReplays", {
  max: Schema.Number,
}) {}

/** Nothing is sent to it. */
export class WebhookDisabled extends Schema.TaggedError<WebhookDisabled>()("WebhookDisabled", {}) {}

/** The URL of a webhook that this service would never call. `reason` completes "url: …". */
export class WebhookUrlRefused extends Schema.TaggedError<WebhookUrlRefused>()("WebhookUrlRefused", {
  reason: Schema.String,
}) {}

export type WebhookError =
  | WebhookUrlRefused
  | WebhookNotFound
  | DeliveryNotFound
  | TooManyWebhooks
  | TooManyWebhookSecrets
  | TooManyReplays
  | WebhookDisabled
