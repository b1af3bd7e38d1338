import { UnknownPosition } from "../../../schema.ts"
import { ValidationFailed } from "../../errors.ts"
import {
  DeliveryList,
  OneDelivery,
  OneWebhook,
  Replayed,
  WebhookCreated,
  WebhookList,
} from "../../payloads.ts"
import { describe, json } from "../operation.ts"

const webhook = {
  id: "7c0f4e1a-3b2d-4f6a-9c8e-1d2f3a4b5c6d",
  url: "https://example.com/voice-events",
  events: ["turn.completed", "turn.failed"],
  transcripts: false,
  enabled: true,
  disabledReason: null,
  failingSince: null,
  oldSecretsExpireAt: null,
  createdAt: "2026-01-31T12:00:00.000Z",
  updatedAt: "2026-01-31T12:00:00.000Z",
}
const delivery = {
  id: "e2a1c3d4-5b6f-4a7e-8c9d-0e1f2a3b4c5d",
  type: "turn.completed",
  occurredAt: "2026-02-01T08:30:00.000Z",
  data: {
    turnId: "9b2f6a1c-4d5e-4f70-8a91-b2c3d4e5f607",
    sessionId: "3d6f0f6b-8c55-4c64-a7b5-5a8b3a4f9a11",
    agentId: "default",
    agentVersion: null,
    status: "completed",
    startedAt: "2026-02-01T08:29:57.100Z",
    endedAt: "2026-02-01T08:30:00.000Z",
  },
  state: "delivered",
  attempts: 1,
  attemptedAt: "2026-02-01T08:30:00.050Z",
  nextAttemptAt: null,
  status: 204,
  answer: "",
  error: null,
} as const
/** A replay keeps what came of the last attempt until the next one ends. */
const replayed = {
  ...delivery,
  state: "pending",
  attempts: 0,
  nextAttemptAt: "2026-02-01T09:00:00.000Z",
  status: 503,
  answer: "Down for maintenance",
} as const
const testDelivery = {
  ...delivery,
  type: "webhook.test",
  data: { webhookId: webhook.id },
  state: "pending",
  attempts: 0,
  attemptedAt: null,
  nextAttemptAt: delivery.occurredAt,
  status: null,
  answer: null,
} as const

/** Of a replay. */
export const wrongRange = "to: must be after from. It is now by default."

const path = { id: "The webhook's id." }
const inWebhooks = { tag: "Webhooks", countedAs: "requests" } as const

export const create = describe({
  ...inWebhooks,
  id: "createWebhook",
  summary: "Create a webhook",
  description: "Events from now on are sent to its URL.",
  example: { url: webhook.url, events: webhook.events },
  answers: [
    {
      status: 201,
      description: "The webhook, and the secret that verifies what it gets.",
      headers: ["Cache-Control"],
      content: json(WebhookCreated, { webhook, secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" }),
    },
  ],
  failures: ["TooManyWebhooks", "WebhookUrlRefused", "EncryptionUnavailable", "ConstraintViolated"],
})

export const list = describe({
  ...inWebhooks,
  id: "listWebhooks",
  summary: "List webhooks",
  description: "In the order of their creation.",
  answers: [
    { status: 200, description: "The webhooks.", content: json(WebhookList, { webhooks: [webhook] }) },
  ],
})

export const get = describe({
  ...inWebhooks,
  id: "getWebhook",
  summary: "Get a webhook",
  path,
  answers: [{ status: 200, description: "The webhook.", content: json(OneWebhook, { webhook }) }],
  failures: ["WebhookNotFound"],
})

export const update = describe({
  ...inWebhooks,
  id: "updateWebhook",
  summary: "Change a webhook",
  description:
    "Fields that are not in the body stay as they are. A webhook that is disabled records no events, and its pending deliveries end as failed.",
  path,
  example: { events: webhook.events, enabled: true },
  answers: [{ status: 200, description: "The webhook.", content: json(OneWebhook, { webhook }) }],
  failures: ["WebhookNotFound", "WebhookUrlRefused", "ConstraintViolated"],
})

export const rotateSecret = describe({
  ...inWebhooks,
  id: "rotateWebhookSecret",
  summary: "Rotate the secret of a webhook",
  description:
    "Makes a new secret. For `graceSeconds`, requests have the signatures of both, so that the endpoint can learn the new one. After 0 s, no earlier secret signs.",
  path,
  example: { graceSeconds: 86_400 },
  answers: [
    {
      status: 200,
      description: "The webhook, and its new secret.",
      headers: ["Cache-Control"],
      content: json(WebhookCreated, {
        webhook: { ...webhook, oldSecretsExpireAt: "2026-02-01T12:00:00.000Z" },
        secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
      }),
    },
  ],
  failures: [
    new ValidationFailed({ message: "graceSeconds: must be a number from 0 to 604800" }),
    "WebhookNotFound",
    "TooManyWebhookSecrets",
    "EncryptionUnavailable",
  ],
})

export const remove = describe({
  ...inWebhooks,
  id: "deleteWebhook",
  summary: "Delete a webhook",
  description: "With its deliveries. What is pending is not sent.",
  path,
  answers: [{ status: 204, description: "The webhook is deleted." }],
  failures: ["WebhookNotFound"],
})

export const test = describe({
  ...inWebhooks,
  id: "testWebhook",
  summary: "Send a test event",
  description: "Sends an event of the type `webhook.test`, once. The delivery log shows what came of it.",
  path,
  answers: [
    { status: 202, description: "It is sent.", content: json(OneDelivery, { delivery: testDelivery }) },
  ],
  failures: ["WebhookNotFound", "WebhookDisabled"],
})

export const deliveries = describe({
  ...inWebhooks,
  id: "listDeliveries",
  summary: "List the deliveries of a webhook",
  description: "Latest first. They are kept for 7 days after their end.",
  path,
  answers: [
    {
      status: 200,
      description: "A page of deliveries.",
      content: json(DeliveryList, { deliveries: [delivery] }),
    },
  ],
  failures: [new UnknownPosition({ field: "before", is: "delivery id" }), "WebhookNotFound"],
})

export const replay = describe({
  ...inWebhooks,
  id: "replayDelivery",
  summary: "Replay a delivery",
  description:
    "Sends it again at once, with the same `webhook-id` and all of its retries, whatever its state.",
  path: { ...path, deliveryId: "The delivery's id." },
  answers: [
    { status: 202, description: "It is sent again.", content: json(OneDelivery, { delivery: replayed }) },
  ],
  failures: ["WebhookNotFound", "DeliveryNotFound", "WebhookDisabled"],
})

export const replayAll = describe({
  ...inWebhooks,
  id: "replayDeliveries",
  summary: "Replay a range of time",
  description:
    "Replays the events of a range of time: those that failed, those that were delivered, or those whose next attempt is over a minute away. The oldest go first. At most 10,000 replays of a user wait. New events go before them.",
  path,
  example: { from: "2026-02-01T00:00:00Z", to: "2026-02-02T00:00:00Z" },
  answers: [{ status: 202, description: "They are sent again.", content: json(Replayed, { replayed: 12 }) }],
  failures: [
    new ValidationFailed({ message: wrongRange }),
    "WebhookNotFound",
    "WebhookDisabled",
    "TooManyReplays",
  ],
})
