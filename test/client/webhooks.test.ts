import { afterAll, beforeAll, expect, test } from "bun:test"
import { makeClient } from "../../src/client/client.ts"
import { type Service, startService } from "../support/service.ts"
import { until } from "../support/turns.ts"
import { startEndpoint, webhookEnv } from "../support/webhook-endpoint.ts"

let service: Service
beforeAll(async () => {
  service = await startService({ env: webhookEnv })
})
afterAll(() => service.stop())

test("a webhook is created, tested, changed, replayed and deleted", async () => {
  const endpoint = await startEndpoint()
  const { webhooks } = makeClient({ baseUrl: service.url, apiKey: await service.register() })
  const { webhook, secret } = await webhooks.create({ url: endpoint.url, events: ["turn.failed"] })
  expect(secret).toStartWith("whsec_")
  expect(await webhooks.list()).toEqual([webhook])
  expect(await webhooks.get(webhook.id)).toEqual(webhook)
  const sent = await webhooks.test(webhook.id)
  expect(sent).toMatchObject({ type: "webhook.test", state: "pending" })
  const delivered = () => webhooks.deliveries(webhook.id, { state: "delivered", limit: 10 })
  const [delivery] = await until(async () => {
    const found = await delivered()
    return found.length > 0 && found
  }, "the delivery").then((found) => found || [])
  expect(delivery).toMatchObject({ id: sent.id, status: 204, attempts: 1 })
  expect(await webhooks.replay(webhook.id, sent.id)).toMatchObject({ id: sent.id, state: "pending" })
  expect(await webhooks.deliveries(webhook.id, { before: sent.id })).toEqual([])
  expect(await webhooks.replayAll(webhook.id, { from: "2026-01-01", state: "failed" })).toBe(0)
  const rotated = await webhooks.rotateSecret(webhook.id)
  expect(rotated.secret).not.toBe(secret)
  expect(rotated.webhook.oldSecretsExpireAt).toBeString()
  const { webhook: cut } = await webhooks.rotateSecret(webhook.id, { graceSeconds: 0 })
  expect(cut.oldSecretsExpireAt).toBeNull()
  expect(await webhooks.update(webhook.id, { enabled: false })).toMatchObject({ enabled: false })
  await expect(webhooks.test(webhook.id)).rejects.toMatchObject({ code: "WEBHOOK_DISABLED" })
  await webhooks.delete(webhook.id)
  await expect(webhooks.get(webhook.id)).rejects.toMatchObject({ code: "WEBHOOK_NOT_FOUND" })
  await endpoint.stop()
})
