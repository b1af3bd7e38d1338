import { afterAll, afterEach, beforeAll, expect, test } from "bun:test"
import { Schema } from "effect"
import { wav16k } from "../support/audio.ts"
import { type Service, startService } from "../support/service.ts"
import type { ToolServer } from "../support/tool-server.ts"
import { until } from "../support/turns.ts"
import { fail } from "../support/upstream.ts"
import {
  createWebhook,
  deliveriesOf,
  type LoggedDelivery,
  startEndpoint,
  verified,
  webhookEnv,
} from "../support/webhook-endpoint.ts"

const One = Schema.Struct({ webhook: Schema.Record({ key: Schema.String, value: Schema.Unknown }) })
const Sent = Schema.Struct({ delivery: Schema.Struct({ id: Schema.String }) })
const Messages = Schema.Struct({ messages: Schema.Array(Schema.Struct({ content: Schema.String })) })

let service: Service
let recording = new Blob([])
beforeAll(async () => {
  service = await startService({ env: webhookEnv })
  recording = new Blob([await wav16k()])
})
afterAll(() => service.stop())

const servers: Array<ToolServer> = []
afterEach(async () => {
  await Promise.all(servers.splice(0).map(({ stop }) => stop()))
})
const endpoint = async (...args: Parameters<typeof startEndpoint>) => {
  const server = await startEndpoint(...args)
  servers.push(server)
  return server
}

/** A new user with a webhook, the log of which is read until `done`. */
const setUp = async (answer?: Parameters<typeof startEndpoint>[0], fields: object = {}) => {
  const server = await endpoint(answer)
  const key = await service.register()
  const webhook = await createWebhook(service, key, { url: `${server.url}/hook`, ...fields })
  const path = `/webhooks/${webhook.id}`
  const sendTest = () => service.call("POST", `${path}/test`, { key })
  const logged = async (done: (delivery: LoggedDelivery) => boolean) => {
    const look = async () => (await deliveriesOf(service, key, webhook.id)).find(done)
    return (await until(look, "a delivery")) ?? expect.unreachable()
  }
  const get = async () =>
    Schema.decodeUnknownSync(One)(await (await service.call("GET", path, { key })).json()).webhook
  return { server, key, ...webhook, path, sendTest, logged, get }
}
const isOver = ({ state }: LoggedDelivery) => state !== "pending"
const wasTried = ({ attempts, status, error }: LoggedDelivery) => attempts > 0 && (status ?? error) !== null

const converse = async (key: string) => {
  const turn = await service.converse(key, recording)
  expect(turn.status).toBe(200)
  await turn.bytes()
  return { turnId: turn.headers.get("x-turn-id"), sessionId: turn.headers.get("x-session-id") }
}

test("a completed turn is sent, signed", async () => {
  const { server, key, secret, logged } = await setUp()
  const ids = await converse(key)
  const delivery = await logged(isOver)
  expect(delivery).toMatchObject({
    type: "turn.completed",
    state: "delivered",
    attempts: 1,
    status: 204,
    error: null,
  })
  const [request, ...more] = server.requests
  expect(more).toEqual([])
  if (request === undefined) throw new Error("no request")
  expect(request).toMatchObject({ method: "POST", path: "/hook" })
  expect(request.headers).toMatchObject({ "content-type": "application/json", "webhook-id": delivery.id })
  const event = verified(secret, request)
  expect(event).toMatchObject({
    type: "turn.completed",
    timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
    data: { ...ids, agentId: "default", agentVersion: null, status: "completed" },
  })
  expect(Object.keys(event.data).toSorted()).toEqual([
    "agentId",
    "agentVersion",
    "endedAt",
    "sessionId",
    "startedAt",
    "status",
    "turnId",
  ])
  expect(() => verified(`whsec_${Buffer.alloc(32).toString("base64")}`, request)).toThrow()
})

test("after a rotation both secrets sign, until the old one expires", async () => {
  const { server, key, secret, path, sendTest, logged } = await setUp()
  const Rotated = Schema.Struct({ secret: Schema.String })
  const rotate = async (body: object = {}) => {
    const answer = await service.call("POST", `${path}/rotate-secret`, { key, body })
    return Schema.decodeUnknownSync(Rotated)(await answer.json()).secret
  }
  /** Which of the secrets the next request is signed with. */
  const signedBy = async (secrets: ReadonlyArray<string>) => {
    const { delivery } = Schema.decodeUnknownSync(Sent)(await (await sendTest()).json())
    await logged(({ id, state }) => id === delivery.id && state === "delivered")
    const request = server.requests.at(-1) ?? expect.unreachable()
    const isSigned = (each: string) => {
      try {
        return verified(each, request).type === "webhook.test"
      } catch {
        return false
      }
    }
    expect(request.headers["webhook-signature"]?.split(" ")).toHaveLength(secrets.filter(isSigned).length)
    return secrets.map(isSigned)
  }
  const second = await rotate()
  expect(await signedBy([secret, second])).toEqual([true, true])
  const third = await rotate({ graceSeconds: 3600 })
  expect(await signedBy([secret, second, third])).toEqual([true, true, true])
  await service.database.sql`update webhook_old_secrets set expires_at = now() where id in (
    select id from webhook_old_secrets where webhook_id = ${path.split("/")[2] ?? ""} order by expires_at limit 1)`
  expect(await signedBy([secret, second, third])).toEqual([true, false, true])
  const fourth = await rotate({ graceSeconds: 0 })
  expect(await signedBy([secret, second, third, fourth])).toEqual([false, false, false, true])
})

test("an old secret that cannot be read keeps no event back", async () => {
  const { server, key, path, sendTest, logged } = await setUp()
  await service.call("POST", `${path}/rotate-secret`, { key, body: {} })
  await service.database
    .sql`update webhook_old_secrets set secret = 'v1.0.0' where webhook_id = ${path.split("/")[2] ?? ""}`
  await sendTest()
  expect(await logged(isOver)).toMatchObject({ state: "delivered" })
  expect(server.requests[0]?.headers["webhook-signature"]?.split(" ")).toHaveLength(1)
})

test("what was said is sent only on demand", async () => {
  const { server, key, secret, logged } = await setUp(undefined, { transcripts: true })
  const { sessionId } = await converse(key)
  await logged(isOver)
  const { data } = verified(secret, server.requests[0] ?? expect.unreachable())
  const answer = await service.call("GET", `/sessions/${sessionId}/messages`, { key })
  const [user, assistant] = Schema.decodeUnknownSync(Messages)(await answer.json()).messages
  expect(data).toMatchObject({ transcript: user?.content, response: assistant?.content })
})

test("words of a deleted session are not sent", async () => {
  let isReady = false
  const { server, key, secret, id, logged } = await setUp((out) => out.writeHead(isReady ? 204 : 500).end(), {
    transcripts: true,
  })
  const { sessionId } = await converse(key)
  await logged(wasTried)
  expect((await service.call("DELETE", `/sessions/${sessionId}`, { key })).status).toBe(204)
  isReady = true
  const [{ id: delivery } = expect.unreachable()] = await deliveriesOf(service, key, id)
  await service.call("POST", `/webhooks/${id}/deliveries/${delivery}/replay`, { key })
  await logged(isOver)
  const { data } = verified(secret, server.requests.at(-1) ?? expect.unreachable())
  expect(data).toMatchObject({ sessionId, transcript: null, response: null })
})

test("only what it asks for, of its user, while it is enabled", async () => {
  const { server, key, path, logged } = await setUp(undefined, { events: ["turn.completed"] })
  const other = await setUp(undefined, { events: ["turn.failed"] })
  await converse(other.key)
  await service.call("PATCH", path, { key, body: { enabled: false } })
  await converse(key)
  await service.call("PATCH", path, { key, body: { enabled: true } })
  const { turnId } = await converse(key)
  const delivery = await logged(isOver)
  expect(delivery.data).toMatchObject({ turnId })
  expect(server.requests).toHaveLength(1)
  expect(other.server.requests).toHaveLength(0)
})

test("a failed turn is sent", async () => {
  const { key, logged } = await setUp()
  service.upstream.script("stt", [fail.unauthorized()])
  const turn = await service.converse(key, recording)
  expect(turn.status).not.toBe(200)
  await turn.bytes()
  const delivery = await logged(isOver)
  expect(delivery).toMatchObject({
    type: "turn.failed",
    data: { status: "failed", reason: "failed", code: "INVALID_OPENAI_KEY" },
  })
})

test("a turn that fails after its client heard a part of it is sent as failed", async () => {
  const { key, logged } = await setUp()
  service.upstream.script("llm", [fail.errorEvent({ tokens: 40 })])
  const turn = await service.converse(key, recording, { accept: "text/event-stream" })
  expect(await turn.text()).toContain("event: error")
  const delivery = await logged(isOver)
  expect(delivery).toMatchObject({
    type: "turn.failed",
    data: { status: "interrupted", reason: "failed", code: "LLM_FAILED" },
  })
})

test("a test event is sent once, and is no failure of the webhook", async () => {
  const { server, secret, sendTest, logged, get } = await setUp((out) => out.writeHead(500).end("broken"))
  const answer = await sendTest()
  expect(answer.status).toBe(202)
  expect(await logged(isOver)).toMatchObject({
    type: "webhook.test",
    state: "failed",
    attempts: 1,
    status: 500,
    answer: "broken",
    nextAttemptAt: null,
  })
  expect(verified(secret, server.requests[0] ?? expect.unreachable()).type).toBe("webhook.test")
  expect(await get()).toMatchObject({ enabled: true, failingSince: null })
})

test("a failed delivery is tried again, with the same id and a new signature", async () => {
  let failures = 1
  const { server, key, id, secret, logged, get } = await setUp((out) => {
    failures -= 1
    out.writeHead(failures >= 0 ? 503 : 200).end("€".repeat(2000))
  })
  await converse(key)
  const failed = await logged(wasTried)
  expect(failed).toMatchObject({ state: "pending", attempts: 1, status: 503, answer: "€".repeat(500) })
  expect(await until(async () => (await get()).failingSince, "the failure")).toBeString()
  await service.database
    .sql`update webhook_deliveries set next_attempt_at = now(), claim = null where webhook_id = ${id}`
  expect(await logged(isOver)).toMatchObject({ id: failed.id, state: "delivered", attempts: 2, status: 200 })
  const [first, second] = server.requests
  expect(second?.headers["webhook-id"]).toBe(first?.headers["webhook-id"] ?? "")
  expect(second?.body).toBe(first?.body ?? "")
  if (second !== undefined) verified(secret, second)
  await until(async () => (await get()).failingSince === null, "the end of the failure")
})

test("the pause follows the schedule, and Retry-After if it is longer", async () => {
  let retryAfter: string | undefined
  const { key, id, logged } = await setUp((out) => {
    out.writeHead(429, retryAfter === undefined ? {} : { "retry-after": retryAfter }).end()
  })
  await converse(key)
  const pause = async (attempts: number) => {
    const found = await logged((delivery) => delivery.attempts === attempts && wasTried(delivery))
    const [row] = await service.database.sql`
      select extract(epoch from next_attempt_at - attempted_at)::float8 as pause
      from webhook_deliveries where id = ${found.id}`
    return row.pause
  }
  const again = () =>
    service.database
      .sql`update webhook_deliveries set next_attempt_at = now(), claim = null, status = null where webhook_id = ${id}`
  const first = await pause(1)
  expect(first).toBeGreaterThanOrEqual(5)
  // The time of the request counts, too.
  expect(first).toBeLessThan(30)
  retryAfter = "7200"
  await again()
  const second = await pause(2)
  expect(second).toBeGreaterThanOrEqual(7200)
  expect(second).toBeLessThan(7230)
})

test("410 disables the webhook and ends what is pending", async () => {
  const { server, key, path, logged, get, sendTest } = await setUp((out) => out.writeHead(410).end())
  await converse(key)
  expect(await logged(isOver)).toMatchObject({ state: "failed", status: 410, attempts: 1 })
  await until(async () => (await get()).enabled === false, "the end of the webhook")
  expect(await get()).toMatchObject({ disabledReason: "gone" })
  await converse(key)
  expect(server.requests).toHaveLength(1)
  expect((await sendTest()).status).toBe(409)
  const enabled = await service.call("PATCH", path, { key, body: { enabled: true } })
  expect(await enabled.json()).toMatchObject({
    webhook: { enabled: true, disabledReason: null, failingSince: null },
  })
})

test("a webhook that failed for 3 days is disabled", async () => {
  const { key, id, logged, get } = await setUp((out) => out.writeHead(500).end())
  await service.database
    .sql`update webhooks set failing_since = now() - interval '71.9 hours' where id = ${id}`
  await converse(key)
  await logged(wasTried)
  expect(await get()).toMatchObject({ enabled: true })
  await service.database
    .sql`update webhooks set failing_since = now() - interval '72.1 hours' where id = ${id}`
  await service.database
    .sql`update webhook_deliveries set next_attempt_at = now(), claim = null where webhook_id = ${id}`
  await until(async () => (await get()).enabled === false, "the end of the webhook")
  expect(await get()).toMatchObject({ disabledReason: "failing" })
  expect(await logged(isOver)).toMatchObject({ state: "failed", attempts: 2 })
})

test("a redirect is not followed", async () => {
  const inner = await endpoint()
  for (const status of [301, 302, 303, 307, 308]) {
    const { sendTest, logged } = await setUp((out) =>
      out.writeHead(status, { location: inner.url }).end("elsewhere"),
    )
    await sendTest()
    expect(await logged(isOver)).toMatchObject({ state: "failed", status, answer: "elsewhere" })
  }
  expect(inner.requests).toEqual([])
})

test.each([
  "http://169.254.169.254/latest/meta-data",
  "https://10.0.0.1/hook",
  "https://[::1]/hook",
  "https://2130706434/hook",
])("an inner address is not called: %s", async (url) => {
  const key = await service.register()
  // A name may lead there later; a URL that was stored before these were refused does so, too.
  const { id } = await createWebhook(service, key, { url: "https://example.com" })
  await service.database.sql`update webhooks set url = ${url} where id = ${id}`
  await service.call("POST", `/webhooks/${id}/test`, { key })
  const delivery = await until(
    async () => (await deliveriesOf(service, key, id)).find(isOver),
    "the delivery",
  )
  expect(delivery).toMatchObject({
    state: "failed",
    status: null,
    error:
      "The address of the server is not public, so it is not called. The operator can allow it with OUTBOUND_ALLOWED_NETWORKS, unless OUTBOUND_BLOCKED_NETWORKS has it.",
  })
})

test("of a huge answer the beginning is read", async () => {
  const { server, sendTest, logged } = await setUp((out) => {
    out.writeHead(200)
    const chunk = "x\0".repeat(32 * 1024)
    const write = () => {
      while (!out.destroyed && out.write(chunk));
      out.once("drain", write)
    }
    write()
  })
  await sendTest()
  expect(await logged(isOver)).toMatchObject({ state: "delivered", answer: "x".repeat(500) })
  await server.hungUp
})

test("an answer of bytes that are no text is stored", async () => {
  const bytes = Buffer.from([0, 255, 254, 0xf0, 0x9f])
  const { sendTest, logged } = await setUp((out) => out.writeHead(200).end(bytes))
  await sendTest()
  expect(await logged(isOver)).toMatchObject({ state: "delivered", answer: "\ufffd\ufffd\ufffd" })
})
