import { afterAll, beforeAll, expect, test } from "bun:test"
import { Schema } from "effect"
import { type Service, startService } from "../support/service.ts"
import { until } from "../support/turns.ts"
import { startEndpoint, webhookEnv } from "../support/webhook-endpoint.ts"
import { Account, expectProblem, readAs } from "./answers.ts"

let service: Service
beforeAll(async () => {
  service = await startService({ env: webhookEnv })
})
afterAll(() => service.stop())

const Webhook = Schema.Struct({
  id: Schema.UUID,
  url: Schema.String,
  events: Schema.Array(Schema.String),
  transcripts: Schema.Boolean,
  enabled: Schema.Boolean,
  disabledReason: Schema.Null,
  failingSince: Schema.Null,
  oldSecretsExpireAt: Schema.NullOr(Schema.String),
  createdAt: Schema.String,
  updatedAt: Schema.String,
})
const One = Schema.Struct({ webhook: Webhook })
const Created = Schema.Struct({ webhook: Webhook, secret: Schema.String })
const List = Schema.Struct({ webhooks: Schema.Array(Webhook) })
const Deliveries = Schema.Struct({
  deliveries: Schema.Array(
    Schema.Struct({
      id: Schema.UUID,
      type: Schema.String,
      occurredAt: Schema.String,
      data: Schema.Record({ key: Schema.String, value: Schema.Unknown }),
      state: Schema.String,
      attempts: Schema.Int,
      attemptedAt: Schema.NullOr(Schema.String),
      nextAttemptAt: Schema.NullOr(Schema.String),
      status: Schema.NullOr(Schema.Int),
      answer: Schema.NullOr(Schema.String),
      error: Schema.NullOr(Schema.String),
    }),
  ),
})

const Logged = Schema.Struct({
  webhookDeliveries: Schema.Array(Schema.Struct({ data: Schema.Struct({ n: Schema.Int }) })),
})

const url = "https://example.com/hook?a=1"
const body = { url, events: ["turn.failed", "turn.completed", "turn.failed"] }
const create = (key: string, fields: object = {}) =>
  service.call("POST", "/webhooks", { key, body: { ...body, ...fields } })
const list = async (key: string) =>
  (await readAs(List, await service.call("GET", "/webhooks", { key }))).webhooks
const unknown = { status: 404, code: "WEBHOOK_NOT_FOUND" }

test("the secret is shown once, and stored encrypted", async () => {
  const key = await service.register()
  const answer = await create(key)
  expect(answer.status).toBe(201)
  expect(answer.headers.get("cache-control")).toBe("no-store")
  const { webhook, secret } = await readAs(Created, answer)
  expect(answer.headers.get("location")).toBe(`/api/v1/webhooks/${webhook.id}`)
  expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/)
  expect(webhook).toMatchObject({
    url,
    events: ["turn.completed", "turn.failed"],
    transcripts: false,
    enabled: true,
    updatedAt: webhook.createdAt,
  })
  expect(await list(key)).toEqual([webhook])
  const got = await service.call("GET", `/webhooks/${webhook.id}`, { key })
  expect(await readAs(One, got)).toEqual({ webhook })
  const stored = JSON.stringify(await service.database.sql`select * from webhooks where id = ${webhook.id}`)
  const exported = await (await service.call("GET", "/users/me/export", { key })).text()
  for (const text of [stored, exported]) {
    expect(text).toContain(webhook.id)
    expect(text).not.toContain(secret)
    expect(text).not.toContain(secret.slice("whsec_".length))
  }
  expect(JSON.parse(exported)).toMatchObject({ webhooks: [webhook], webhookDeliveries: [] })
})

test("a mistyped field is refused", async () => {
  const key = await service.register()
  await expectProblem(await create(key, { transcript: true }), {
    status: 400,
    code: "VALIDATION_ERROR",
    message: /^transcript: is not a field here; the fields are url, events, transcripts, enabled$/,
  })
  expect(await list(key)).toEqual([])
  const { webhook } = await readAs(Created, await create(key))
  const asRead = { ...webhook, transcripts: true }
  const changed = await service.call("PATCH", `/webhooks/${webhook.id}`, { key, body: asRead })
  expect((await readAs(One, changed)).webhook.transcripts).toBe(true)
})

const rotate = (key: string, id: string, body: unknown = {}) =>
  service.call("POST", `/webhooks/${id}/rotate-secret`, { key, body })
const hoursUntil = (time: string | null) => (Date.parse(`${time}`) - Date.now()) / 3_600_000

test("a new secret is shown once, and stored encrypted like the old one", async () => {
  const key = await service.register()
  const { webhook, secret } = await readAs(Created, await create(key))
  const answer = await rotate(key, webhook.id)
  expect(answer.status).toBe(200)
  expect(answer.headers.get("cache-control")).toBe("no-store")
  const rotated = await readAs(Created, answer)
  expect(rotated.secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/)
  expect(rotated.secret).not.toBe(secret)
  expect(Math.round(hoursUntil(rotated.webhook.oldSecretsExpireAt))).toBe(24)
  expect(await list(key)).toEqual([rotated.webhook])
  const rows = await service.database.sql`
    select webhooks.secret, old.secret as old from webhooks join webhook_old_secrets as old on webhook_id = webhooks.id
    where webhooks.id = ${webhook.id}`
  expect(rows).toHaveLength(1)
  const stored = JSON.stringify(rows)
  const exported = await (await service.call("GET", "/users/me/export", { key })).text()
  expect(JSON.parse(exported)).toMatchObject({ webhooks: [rotated.webhook] })
  for (const text of [stored, exported]) {
    for (const hidden of [secret, rotated.secret]) expect(text).not.toContain(hidden.slice("whsec_".length))
  }
  expect((await service.call("DELETE", `/webhooks/${webhook.id}`, { key })).status).toBe(204)
  expect(
    await service.database.sql`select 1 from webhook_old_secrets where webhook_id = ${webhook.id}`,
  ).toHaveLength(0)
})

test("old secrets expire each in its time, at once with 0 s, and are 5 at most, also at once", async () => {
  const key = await service.register()
  const { webhook } = await readAs(Created, await create(key))
  const expiry = async () => (await list(key))[0]?.oldSecretsExpireAt ?? null
  expect((await rotate(key, webhook.id, { graceSeconds: 604_800 })).status).toBe(200)
  expect((await rotate(key, webhook.id, { graceSeconds: 3600 })).status).toBe(200)
  expect(Math.round(hoursUntil(await expiry()))).toBe(7 * 24)
  const answers = await Promise.all(Array.from({ length: 6 }, () => rotate(key, webhook.id)))
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(3)
  await expectProblem(await rotate(key, webhook.id), { status: 409, code: "TOO_MANY_WEBHOOK_SECRETS" })
  const cut = await readAs(Created, await rotate(key, webhook.id, { graceSeconds: 0 }))
  expect(cut.webhook.oldSecretsExpireAt).toBeNull()
  expect((await rotate(key, webhook.id)).status).toBe(200)
  await service.database
    .sql`update webhook_old_secrets set expires_at = now() where webhook_id = ${webhook.id}`
  expect(await expiry()).toBeNull()
})

test.each([
  { graceSeconds: -1 },
  { graceSeconds: 604_801 },
  { graceSeconds: "soon" },
  { graceSeconds: null },
  "now",
])("refuses the rotation %j", async (body) => {
  const key = await service.register()
  const { webhook } = await readAs(Created, await create(key))
  await expectProblem(await rotate(key, webhook.id, body), { status: 400, code: "VALIDATION_ERROR" })
  expect(await list(key)).toEqual([webhook])
})

test("a rotation needs no body", async () => {
  const key = await service.register()
  const { webhook } = await readAs(Created, await create(key))
  const answer = await fetch(`${service.url}/webhooks/${webhook.id}/rotate-secret`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}` },
  })
  expect(answer.status).toBe(200)
})

test("fields that are not in a change stay", async () => {
  const key = await service.register()
  const { webhook } = await readAs(Created, await create(key))
  const change = async (fields: object) =>
    (await readAs(One, await service.call("PATCH", `/webhooks/${webhook.id}`, { key, body: fields }))).webhook
  expect(await change({})).toEqual(webhook)
  expect(await change({ transcripts: true })).toMatchObject({
    url,
    events: webhook.events,
    transcripts: true,
  })
  expect(await change({ url: "https://example.org/" })).toMatchObject({
    url: "https://example.org/",
    enabled: true,
  })
  const events = ["tool.called", "session.expired"]
  expect(await change({ events, enabled: false })).toMatchObject({
    events: events.toReversed(),
    enabled: false,
  })
  expect(await change({ id: crypto.randomUUID(), failingSince: null })).toMatchObject({
    id: webhook.id,
    enabled: false,
  })
})

test("of one user only", async () => {
  const [mine, theirs] = [await service.register(), await service.register()]
  const { webhook } = await readAs(Created, await create(theirs))
  const delivery = await service.database.sql`
    insert into webhook_deliveries (webhook_id, type, data, state, next_attempt_at)
    values (${webhook.id}, 'turn.completed', '{}', 'delivered', null) returning id`
  for (const id of [webhook.id, crypto.randomUUID(), "1", "%00"]) {
    const path = `/webhooks/${id}`
    await expectProblem(await service.call("GET", path, { key: mine }), unknown)
    await expectProblem(await service.call("PATCH", path, { key: mine, body: { enabled: false } }), unknown)
    await expectProblem(await service.call("DELETE", path, { key: mine }), unknown)
    await expectProblem(await service.call("POST", `${path}/test`, { key: mine }), unknown)
    await expectProblem(await service.call("POST", `${path}/rotate-secret`, { key: mine, body: {} }), unknown)
    await expectProblem(await service.call("GET", `${path}/deliveries`, { key: mine }), unknown)
    const range = { from: "2020-01-01" }
    await expectProblem(await service.call("POST", `${path}/replay`, { key: mine, body: range }), unknown)
    const replay = `${path}/deliveries/${delivery[0].id}/replay`
    await expectProblem(await service.call("POST", replay, { key: mine }), unknown)
  }
  const own = (await readAs(Created, await create(mine))).webhook.id
  await expectProblem(
    await service.call("POST", `/webhooks/${own}/deliveries/${delivery[0].id}/replay`, { key: mine }),
    { status: 404, code: "DELIVERY_NOT_FOUND" },
  )
  expect(await list(theirs)).toEqual([webhook])
  expect((await service.call("GET", "/webhooks")).status).toBe(401)
  expect((await service.call("DELETE", `/webhooks/${webhook.id}`, { key: theirs })).status).toBe(204)
  expect(await list(theirs)).toEqual([])
  expect(
    await service.database.sql`select 1 from webhook_deliveries where webhook_id = ${webhook.id}`,
  ).toHaveLength(0)
})

test("end with their user", async () => {
  const key = await service.register()
  const { webhook } = await readAs(Created, await create(key))
  await service.database.sql`insert into webhook_deliveries (webhook_id, type, data)
    select ${webhook.id}, 'turn.completed', '{}' from generate_series(1, 3)`
  const { email } = await readAs(Account, await service.call("GET", "/users/me", { key }))
  expect((await service.call("DELETE", "/users/me", { key, body: { email } })).status).toBe(204)
  expect(await service.database.sql`select 1 from webhooks where id = ${webhook.id}`).toHaveLength(0)
})

test("20 at most, also at once", async () => {
  const key = await service.register()
  const answers = await Promise.all(Array.from({ length: 24 }, () => create(key)))
  expect(answers.filter(({ status }) => status === 201)).toHaveLength(20)
  await expectProblem(await create(key), { status: 409, code: "TOO_MANY_WEBHOOKS" })
  expect(await list(key)).toHaveLength(20)
})

const wrong: ReadonlyArray<readonly [name: string, fields: object, message: RegExp]> = [
  ["no url", { url: undefined }, /^url: is missing/],
  ["no text", { url: 7 }, /^url: must be a string/],
  ["no URL", { url: "example.com/hook" }, /^url: must be a URL/],
  ["another scheme", { url: "ftp://example.com" }, /^url: must start with https:/],
  ["an inner address", { url: "https://10.0.0.1/hook" }, /^url: has an address that is not public/],
  ["without TLS", { url: "http://93.184.216.34" }, /^url: must start with https:/],
  ["javascript", { url: "javascript:alert(1)" }, /^url: must start with https:/],
  ["a password", { url: "https://a:b@example.com" }, /^url: must have no user name and password/],
  ["a fragment", { url: "https://example.com/#a" }, /^url: must have no fragment/],
  ["a NUL", { url: "https://example.com/\0" }, /^url: must be a URL/],
  ["a line break", { url: "https://example.com/\r\nhost: a" }, /^url: must be a URL/],
  [
    "a long URL",
    { url: `https://example.com/${"a".repeat(2048)}` },
    /^url: must have at most 2048 characters/,
  ],
  ["half a character", { url: "https://example.com/\ud800" }, /^url: must be a URL/],
  ["no events", { events: [] }, /^events: must have at least one of turn.completed, /],
  [
    "another event",
    { events: ["turn.completed", "turn.started"] },
    /^events: "turn.started" is no event; the events are turn.completed, /,
  ],
  ["a number as event", { events: [1] }, /^events: must be a list of|^events.0: /],
  ["events in a text", { events: "turn.completed" }, /^events: must be a list of/],
  ["null", { events: null }, /^events: must be a list of/],
  ["a text for a flag", { enabled: "yes" }, /^enabled: must be true or false/],
  ["a number for a flag", { transcripts: 1 }, /^transcripts: must be true or false/],
]
test.each(wrong)("refuses %s", async (_, fields, message) => {
  const key = await service.register()
  await expectProblem(await create(key, fields), { status: 400, code: "VALIDATION_ERROR", message })
  const { webhook } = await readAs(Created, await create(key))
  if (Object.values(fields).includes(undefined)) return
  const changed = await service.call("PATCH", `/webhooks/${webhook.id}`, { key, body: fields })
  await expectProblem(changed, { status: 400, code: "VALIDATION_ERROR", message })
  expect(await list(key)).toEqual([webhook])
})

/** A webhook with deliveries of these states, a minute apart, the oldest first. */
const withLog = async (states: ReadonlyArray<string>, address = url) => {
  const key = await service.register()
  const { webhook } = await readAs(Created, await create(key, { url: address }))
  await service.database.sql`
    insert into webhook_deliveries (webhook_id, type, data, state, next_attempt_at, occurred_at, ended_at, attempts)
    select ${webhook.id}, 'turn.completed', jsonb_build_object('n', n), state,
      case when state = 'pending' then now() + interval '1 hour' end, timestamptz '2026-01-01 00:00Z' + n * interval '1 minute',
      case when state <> 'pending' then now() end, 10
    from string_to_table(${states.join()}, ',') with ordinality as given (state, n) order by n`
  const path = `/webhooks/${webhook.id}`
  const read = async (query = "") =>
    (await readAs(Deliveries, await service.call("GET", `${path}/deliveries${query}`, { key }))).deliveries
  const numbers = async (query = "") => (await read(query)).map(({ data }) => data.n)
  return { key, path, read, numbers }
}

test("the log has pages, latest first", async () => {
  const { read, numbers } = await withLog(
    Array.from({ length: 45 }, (_, n) => (n % 3 === 0 ? "failed" : "delivered")),
  )
  expect(await numbers()).toEqual(Array.from({ length: 20 }, (_, n) => 45 - n))
  const [, , third] = await read("?limit=3")
  expect(await numbers(`?limit=2&before=${third?.id}`)).toEqual([42, 41])
  expect(await numbers("?state=failed&limit=4")).toEqual([43, 40, 37, 34])
  expect(await numbers("?state=pending")).toEqual([])
})

test.each(["?limit=0", "?limit=101", "?before=1", "?state=lost"])("refuses %s", async (query) => {
  const { key, path } = await withLog([])
  const answer = await service.call("GET", `${path}/deliveries${query}`, { key })
  await expectProblem(answer, { status: 400, code: "VALIDATION_ERROR" })
})

test("`before` must be a delivery of this webhook", async () => {
  const { key, path, read } = await withLog(["failed", "failed"])
  const other = await withLog(["failed"])
  const [[latest], [foreign]] = [await read(), await other.read()]
  const ask = (id: string | undefined) =>
    service.call("GET", `${path}/deliveries?before=${id}&state=failed`, { key })
  const refused = {
    status: 400,
    code: "VALIDATION_ERROR",
    message: "before: not a delivery id returned by this endpoint.",
  }
  await expectProblem(await ask(crypto.randomUUID()), refused)
  await expectProblem(await ask(foreign?.id), refused)
  expect((await ask(latest?.id.toUpperCase())).status).toBe(200)
  await service.database.sql`delete from webhook_deliveries where id = ${latest?.id ?? ""}`
  await expectProblem(await ask(latest?.id), refused)
})

test("a replay sends a delivery again, whatever its state", async () => {
  const endpoint = await startEndpoint()
  const { key, path, read } = await withLog(["failed", "delivered", "pending"], endpoint.url)
  const before = await read()
  for (const { id } of before) {
    const answer = await service.call("POST", `${path}/deliveries/${id}/replay`, { key })
    expect(answer.status).toBe(202)
    expect(await answer.json()).toMatchObject({ delivery: { id, state: "pending", attempts: 0 } })
  }
  const over = async () => (await read("?state=delivered")).length === 3
  await until(over, "the deliveries")
  expect(endpoint.requests.map(({ headers }) => headers["webhook-id"]).toSorted()).toEqual(
    before.map(({ id }) => id).toSorted(),
  )
  await endpoint.stop()
})

test("a range is replayed by the time of the events", async () => {
  const { key, path, numbers } = await withLog([
    "failed",
    "failed",
    "delivered",
    "failed",
    "pending",
    "failed",
  ])
  const replay = async (range: object) => {
    const answer = await service.call("POST", `${path}/replay`, { key, body: range })
    expect(answer.status).toBe(202)
    return answer.json()
  }
  expect(await replay({ from: "2026-01-01T00:02:00Z", to: "2026-01-01T00:06:00Z" })).toEqual({ replayed: 2 })
  expect(await numbers("?state=failed")).not.toContain(2)
  expect(await replay({ from: "2026-01-01T01:03:00+01:00", state: "delivered" })).toEqual({ replayed: 1 })
  expect(await replay({ from: "2026-01-01", to: "2026-01-01T00:02:00Z" })).toEqual({ replayed: 1 })
  expect(await replay({ from: "2026-01-02" })).toEqual({ replayed: 0 })
})

test("a range of pending deliveries is hurried", async () => {
  const endpoint = await startEndpoint()
  const { key, path, read, numbers } = await withLog(
    ["pending", "failed", "pending", "pending"],
    endpoint.url,
  )
  // This one is due, so it may be under way.
  await service.database.sql`update webhook_deliveries set next_attempt_at = now() + interval '50 seconds'
    where webhook_id = ${path.split("/")[2] ?? ""} and data = '{"n":4}'`
  const body = { from: "2026-01-01", state: "pending" }
  const answer = await service.call("POST", `${path}/replay`, { key, body })
  expect(await answer.json()).toEqual({ replayed: 2 })
  await until(async () => (await read("?state=delivered")).length === 2, "the deliveries")
  expect(await numbers("?state=delivered")).toEqual([3, 1])
  await endpoint.stop()
})

test.each([
  { from: "2026-01-02", to: "2026-01-01" },
  { from: "2026-01-02", to: "2026-01-02" },
  { from: "9999-01-01" },
])("refuses the range %j", async (body) => {
  const { key, path } = await withLog([])
  await expectProblem(await service.call("POST", `${path}/replay`, { key, body }), {
    status: 400,
    code: "VALIDATION_ERROR",
    message: /^to: must be after from/,
  })
})

test("10,000 replays of a user wait at most, also at once", async () => {
  const { key, path } = await withLog(["failed", "failed", "failed", "failed", "delivered"])
  const [{ id }] = await service.database.sql`select id from webhooks where id = ${path.split("/")[2] ?? ""}`
  // Of another webhook of the user, which replays more slowly.
  const { webhook } = await readAs(Created, await create(key))
  await service.database
    .sql`insert into webhook_deliveries (webhook_id, type, data, is_replay, next_attempt_at)
    select ${webhook.id}, 'turn.completed', '{}', true, now() + interval '1 hour' from generate_series(1, 9997)`
  const replay = (body: object) => service.call("POST", `${path}/replay`, { key, body })
  const answers = await Promise.all(Array.from({ length: 3 }, () => replay({ from: "2026-01-01" })))
  const rows = await service.database.sql`
    select count(*)::int as count from webhook_deliveries where webhook_id = ${id} and is_replay`
  expect([...rows]).toEqual([{ count: 3 }])
  const refused = answers.filter(({ status }) => status === 409)
  expect(refused).toHaveLength(2)
  await expectProblem(refused[0] ?? expect.unreachable(), { status: 409, code: "TOO_MANY_REPLAYS" })
  // One by one is bounded by the rate limit.
  const log = await (await service.call("GET", `${path}/deliveries?state=delivered`, { key })).json()
  const [one] = Schema.decodeUnknownSync(Deliveries)(log).deliveries
  const single = await service.call("POST", `${path}/deliveries/${one?.id}/replay`, { key })
  expect(single.status).toBe(202)
  await service.call("PATCH", `/webhooks/${webhook.id}`, { key, body: { enabled: false } })
  expect(await (await replay({ from: "2026-01-01" })).json()).toEqual({ replayed: 1 })
})

test.each([
  {},
  { from: "yesterday" },
  { from: "2026-02-30" },
  { from: "2026-01-01T00:00" },
  { from: 1 },
  { from: "2026-01-01", state: "running" },
])("refuses the range %j", async (range) => {
  const { key, path } = await withLog([])
  await expectProblem(await service.call("POST", `${path}/replay`, { key, body: range }), {
    status: 400,
    code: "VALIDATION_ERROR",
  })
})

test("a disabled webhook ends what is pending, and replays nothing", async () => {
  const { key, path, read } = await withLog(["pending", "delivered"])
  await service.call("PATCH", path, { key, body: { enabled: false } })
  const [, pending] = await read()
  expect(pending).toMatchObject({ state: "failed", nextAttemptAt: null, error: "The webhook was disabled." })
  const disabled = { status: 409, code: "WEBHOOK_DISABLED" }
  await expectProblem(await service.call("POST", `${path}/test`, { key }), disabled)
  await expectProblem(
    await service.call("POST", `${path}/deliveries/${pending?.id}/replay`, { key }),
    disabled,
  )
  await expectProblem(
    await service.call("POST", `${path}/replay`, { key, body: { from: "2020-01-01" } }),
    disabled,
  )
})

test.each([
  ["a replay", (id: string) => ({ path: `/deliveries/${id}/replay` })],
  ["a replay of a range", () => ({ path: "/replay", body: { from: "2020-01-01" } })],
  ["a test", () => ({ path: "/test" })],
] as const)("%s waits for a change that disables the webhook", async (_, request) => {
  const { key, path, read } = await withLog(["delivered"])
  const [delivery] = await read()
  const { path: action, ...options } = request(delivery?.id ?? expect.unreachable())
  const change = await service.database.sql.reserve()
  await change`begin`
  await change`update webhooks set enabled = false where id = ${path.replace("/webhooks/", "")}`
  const answer = service.call("POST", `${path}${action}`, { key, ...options })
  const isWaiting = async () => {
    const waiting = await service.database.sql`select 1 from pg_stat_activity
      where datname = current_database() and application_name = 'voice-agent' and wait_event_type = 'Lock'`
    return waiting.length > 0
  }
  await until(isWaiting, "the wait for the lock")
  await change`commit`
  change.release()
  await expectProblem(await answer, { status: 409, code: "WEBHOOK_DISABLED" })
  expect(await read()).toMatchObject([{ state: "delivered" }])
})

test("what was pending at a disabled webhook is not sent late", async () => {
  const { key, path, read } = await withLog([])
  await service.call("PATCH", path, { key, body: { enabled: false } })
  await service.database.sql`insert into webhook_deliveries (webhook_id, type, data, next_attempt_at)
    values (${path.replace("/webhooks/", "")}, 'turn.completed', '{}', now() + interval '1 hour')`
  expect((await service.call("PATCH", path, { key, body: { enabled: true } })).status).toBe(200)
  expect(await read()).toMatchObject([{ state: "failed", error: "The webhook was disabled." }])
  await service.database
    .sql`update webhook_deliveries set state = 'pending', next_attempt_at = now() + interval '1 hour'
    where webhook_id = ${path.replace("/webhooks/", "")}`
  expect((await service.call("PATCH", path, { key, body: { enabled: true } })).status).toBe(200)
  expect(await read()).toMatchObject([{ state: "pending" }])
})

test("the export has the log page by page", async () => {
  for (const count of [1, 200, 201]) {
    const { key } = await withLog(Array.from({ length: count }, () => "failed"))
    const exported = await service.call("GET", "/users/me/export", { key })
    const { webhookDeliveries } = Schema.decodeUnknownSync(Logged)(await exported.json())
    expect(webhookDeliveries.map(({ data }) => data.n)).toEqual(
      Array.from({ length: count }, (_, n) => n + 1),
    )
  }
})
