import {
  type Delivery,
  type NewWebhook,
  readDeliveryList,
  readOneDelivery,
  readOneWebhook,
  readReplayed,
  readWebhookCreated,
  readWebhookList,
  type Webhook,
  type WebhookChanges,
  type WebhookCreated,
} from "./model.ts"
import { nothing } from "./read.ts"
import { type Call, queryOf } from "./request.ts"

export interface Webhooks {
  readonly list: () => Promise<ReadonlyArray<Webhook>>
  readonly get: (id: string) => Promise<Webhook>
  /** The result is the only one that has the secret. */
  readonly create: (webhook: NewWebhook) => Promise<WebhookCreated>
  readonly update: (id: string, changes: WebhookChanges) => Promise<Webhook>
  /**
   * Makes a new secret. The old one signs too for `graceSeconds`: 86,400 by default, 604,800 at most; 0: no longer. The result
   * is the only one that has the secret.
   */
  readonly rotateSecret: (id: string, options?: { readonly graceSeconds?: number }) => Promise<WebhookCreated>
  readonly delete: (id: string) => Promise<void>
  /** Sends an event of the type `webhook.test`, once. */
  readonly test: (id: string) => Promise<Delivery>
  /** Latest first. `limit`: 1 to 100, 20 by default. `before`: the id of a delivery. */
  readonly deliveries: (
    id: string,
    page?: {
      readonly limit?: number
      readonly before?: string
      readonly state?: "pending" | "delivered" | "failed"
    },
  ) => Promise<ReadonlyArray<Delivery>>
  /** Sends a delivery again, whatever its state. */
  readonly replay: (id: string, deliveryId: string) => Promise<Delivery>
  /** Sends the deliveries of the events of a time again; those that failed by default. Returns their number. */
  readonly replayAll: (
    id: string,
    range: {
      readonly from: string
      readonly to?: string
      readonly state?: "failed" | "delivered" | "pending"
    },
  ) => Promise<number>
}

export const makeWebhooks = (call: Call): Webhooks => {
  const path = (id: string) => `/webhooks/${encodeURIComponent(id)}`
  return {
    list: async () => (await call("GET", "/webhooks", { read: readWebhookList })).webhooks,
    get: async (id) => (await call("GET", path(id), { read: readOneWebhook })).webhook,
    create: (webhook) => call("POST", "/webhooks", { body: webhook, read: readWebhookCreated }),
    update: async (id, changes) =>
      (await call("PATCH", path(id), { body: changes, read: readOneWebhook })).webhook,
    rotateSecret: (id, options = {}) =>
      call("POST", `${path(id)}/rotate-secret`, { body: options, read: readWebhookCreated }),
    delete: (id) => call("DELETE", path(id), { read: nothing }),
    test: async (id) => (await call("POST", `${path(id)}/test`, { read: readOneDelivery })).delivery,
    deliveries: async (id, page = {}) =>
      (await call("GET", `${path(id)}/deliveries${queryOf({ ...page })}`, { read: readDeliveryList }))
        .deliveries,
    replay: async (id, deliveryId) =>
      (
        await call("POST", `${path(id)}/deliveries/${encodeURIComponent(deliveryId)}/replay`, {
          read: readOneDelivery,
        })
      ).delivery,
    replayAll: async (id, range) =>
      (await call("POST", `${path(id)}/replay`, { body: range, read: readReplayed })).replayed,
  }
}
