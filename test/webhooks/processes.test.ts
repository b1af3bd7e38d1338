import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test"
import { Schema } from "effect"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { cleanUpProcesses, startProcess } from "../support/process.ts"
import { startService } from "../support/service.ts"
import { until } from "../support/turns.ts"
import {
  createWebhook,
  deliveriesOf,
  startEndpoint,
  verified,
  webhookEnv,
} from "../support/webhook-endpoint.ts"

const cleanUps: Array<() => Promise<void>> = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp()
})
afterAll(cleanUpProcesses)

const freshDatabase = async () => {
  const database = await makeDatabase()
  cleanUps.push(database.drop)
  return database
}
const endpoint = async (...args: Parameters<typeof startEndpoint>) => {
  const server = await startEndpoint(...args)
  cleanUps.push(server.stop)
  return server
}

const readKey = Schema.decodeUnknownSync(Schema.Struct({ apiKey: Schema.String }))

/** A service in a process of its own. */
const start = async (url: string) => {
  const service = startProcess({
    env: { DATABASE_URL: url, OFFLINE_ENGINES: "on", NODE_ENV: "production", ...webhookEnv },
  })
  const address = `${await service.url()}/api/v1`
  const call = (
    method: string,
    path: string,
    { key, body }: { readonly key?: string; readonly body?: unknown } = {},
  ) =>
    fetch(`${address}${path}`, {
      method,
      headers: {
        "content-type": "application/json",
        ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
  return { ...service, call }
}
const register = async (service: Pick<Awaited<ReturnType<typeof start>>, "call">) => {
  const email = `${crypto.randomUUID()}@example.com`
  return readKey(await (await service.call("POST", "/users/register", { body: { email } })).json()).apiKey
}

test("several processes send each delivery once", async () => {
  const database = await freshDatabase()
  const services = await Promise.all([1, 2, 3].map(() => startService({ database, env: webhookEnv })))
  for (const { stop } of services) cleanUps.push(stop)
  const [service] = services
  if (service === undefined) throw new Error("no service")
  const server = await endpoint((out) => setTimeout(() => out.writeHead(204).end(), 5))
  const key = await service.register()
  const webhooks = await Promise.all(
    Array.from({ length: 5 }, () => createWebhook(service, key, { url: server.url })),
  )
  const all = 300
  await database.sql`insert into webhook_deliveries (webhook_id, type, data)
    select id, 'turn.completed', '{}' from webhooks, generate_series(1, ${all / webhooks.length}::int)`
  await until(async () => {
    const [{ count }] = await database.sql`
      select count(*)::int as count from webhook_deliveries where state = 'delivered' and attempts = 1`
    return count === all
  }, "all deliveries")
  expect(server.requests).toHaveLength(all)
  expect(new Set(server.requests.map(({ headers }) => headers["webhook-id"])).size).toBe(all)
})

test("a process that is killed between the answer and its note sends once more", async () => {
  const database = await freshDatabase()
  const first = await start(database.url)
  let isKilled = false
  const server = await endpoint((out) => {
    if (!isKilled) first.signal("SIGKILL")
    isKilled = true
    out.writeHead(204).end()
  })
  const key = await register(first)
  const { id, secret } = await createWebhook(first, key, { url: server.url })
  await first.call("POST", `/webhooks/${id}/test`, { key }).catch(() => undefined)
  expect(await first.ended).toBe("SIGKILL")
  expect(server.requests).toHaveLength(1)

  const second = await start(database.url)
  const [attempt] = await deliveriesOf(second, key, id)
  expect(attempt).toMatchObject({ state: "pending", attempts: 1, status: null })
  // The attempt still belongs to the first process, for a minute.
  const [leased] = await database.sql`select next_attempt_at > now() as is_leased from webhook_deliveries`
  expect(leased).toEqual({ is_leased: true })
  await database.sql`update webhook_deliveries set next_attempt_at = now()`
  await until(
    async () => (await deliveriesOf(second, key, id)).every(({ state }) => state === "delivered"),
    "the second attempt",
  )
  expect((await deliveriesOf(second, key, id)).map(({ attempts }) => attempts)).toEqual([2])
  const [one, other] = server.requests
  expect(server.requests).toHaveLength(2)
  expect(other?.headers["webhook-id"]).toBe(one?.headers["webhook-id"] ?? "")
  for (const request of server.requests) expect(verified(secret, request).type).toBe("webhook.test")
})

describe("one process", () => {
  let database: TestDatabase
  let service: Awaited<ReturnType<typeof start>>
  beforeAll(async () => {
    database = await makeDatabase()
    service = await start(database.url)
  })
  afterAll(() => database.drop())

  test("the log has ids and outcomes, and neither the URL nor the answer", async () => {
    let status = 500
    const server = await endpoint((out) => out.writeHead(status).end("an answer"))
    const key = await register(service)
    const { id, secret } = await createWebhook(service, key, { url: `${server.url}/private?token=123` })
    await service.call("POST", `/webhooks/${id}/test`, { key })
    await service.says(/webhook\.attempt_failed/)
    status = 410
    await service.call("POST", `/webhooks/${id}/test`, { key })
    await service.says(/webhook\.disabled/)
    // A name may lead to such an address after the webhook was created.
    const inner = await createWebhook(service, key, { url: server.url })
    await database.sql`update webhooks set url = 'https://10.0.0.1' where id = ${inner.id}`
    await service.call("POST", `/webhooks/${inner.id}/test`, { key })
    await service.says(/OUTBOUND_ALLOWED_NETWORKS/)
    const lines = service.records().filter(({ event }) => `${event}`.startsWith("webhook."))
    expect(lines).toMatchObject([
      {
        event: "webhook.attempt_failed",
        level: "warn",
        webhookId: id,
        type: "webhook.test",
        status: 500,
        attempt: 1,
      },
      { event: "webhook.attempt_failed", status: 410 },
      { event: "webhook.disabled", level: "warn", webhookId: id, reason: "gone" },
      {
        event: "webhook.attempt_failed",
        webhookId: inner.id,
        reason: "AddressRefused 10.0.0.1 (see OUTBOUND_ALLOWED_NETWORKS)",
      },
    ])
    for (const secretText of ["private", "token=123", "an answer", secret]) {
      expect(service.stdout()).not.toContain(secretText)
    }
  })

  test("that stops gives back what hangs, at once", async () => {
    const server = await endpoint(() => undefined)
    const key = await register(service)
    const { id } = await createWebhook(service, key, { url: server.url })
    await service.call("POST", `/webhooks/${id}/test`, { key })
    await until(() => server.requests.length === 1, "the request")
    service.signal("SIGTERM")
    expect(await service.ended).toBe(0)
    const [row] =
      await database.sql`select state, attempts, next_attempt_at <= now() as is_due from webhook_deliveries
      where webhook_id = ${id}`
    expect(row).toEqual({ state: "pending", attempts: 0, is_due: true })
  })
})
