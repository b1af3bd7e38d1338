import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test"
import * as BunContext from "@effect/platform-bun/BunContext"
import { ConfigProvider, Duration, Effect, Layer, Logger, ManagedRuntime } from "effect"
import { Settings } from "../../src/config.ts"
import * as Postgres from "../../src/db/postgres.ts"
import { newId, UserId, WebhookId } from "../../src/schema.ts"
import { type Claimed, DeliveryQueue } from "../../src/webhooks/delivery-queue.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await makeDatabase()
})
afterAll(() => database.drop())

/** A process of the service, as far as its queue. */
const makeProcess = () => {
  const env = new Map([
    ["DATABASE_URL", database.url],
    ["OPENAI_API_KEY", "sk-test"],
  ])
  const runtime = ManagedRuntime.make(
    DeliveryQueue.layer.pipe(
      Layer.provide(Postgres.layer),
      Layer.provide(Settings.layer),
      Layer.provide(BunContext.layer),
      Layer.provide(Logger.remove(Logger.defaultLogger)),
      Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(env))),
    ),
  )
  const running: Array<Claimed> = []
  return {
    /** Takes what a process of 64 attempts would take, and lets all of it run. */
    take: (free = 64 - running.length) =>
      runtime.runPromise(
        Effect.gen(function* () {
          const queue = yield* DeliveryQueue
          if (!(yield* queue.look).isDue) return []
          const { taken } = yield* queue.claim(free, running)
          running.push(...taken)
          return taken
        }),
      ),
    claim: (free: number) =>
      runtime.runPromise(Effect.flatMap(DeliveryQueue, (queue) => queue.claim(free, []))),
    look: () =>
      runtime.runPromise(
        Effect.flatMap(DeliveryQueue, (queue) => Effect.map(queue.look, ({ isDue }) => isDue)),
      ),
    end: (attempt: Claimed, then: "delivered" | Duration.Duration = "delivered") => {
      running.splice(running.indexOf(attempt), 1)
      const record = { status: 200, answer: "", error: null, then }
      return runtime.runPromise(Effect.flatMap(DeliveryQueue, (queue) => queue.record(attempt, record)))
    },
    stop: () => runtime.dispose(),
  }
}
let here: ReturnType<typeof makeProcess>
let there: ReturnType<typeof makeProcess>
beforeEach(() => {
  here = makeProcess()
  there = makeProcess()
})
afterEach(async () => {
  await Promise.all([here.stop(), there.stop()])
  await database.sql`delete from users`
})

/** A user with webhooks, each with so many due deliveries. */
const addUser = async (webhooks: number, due: number, { isFailing = false } = {}) => {
  const id = newId(UserId)
  await database.sql`insert into users (id, email) values (${id}, ${id} || '@example.com')`
  const ids = Array.from({ length: webhooks }, () => newId(WebhookId))
  for (const webhook of ids) {
    await database.sql`insert into webhooks (id, user_id, url, events, secret, failing_since)
      values (${webhook}, ${id}, 'https://example.com', '{turn.completed}', '', case when ${isFailing}::boolean then now() end)`
    await add(webhook, due)
  }
  return { id, webhooks: ids }
}
const add = (webhook: WebhookId, count: number, { ageSeconds = 3600, isReplay = false } = {}) =>
  database.sql`insert into webhook_deliveries (webhook_id, type, data, next_attempt_at, is_replay)
    select ${webhook}, 'turn.completed', '{}', now() - make_interval(secs => ${ageSeconds}::float8), ${isReplay}
    from generate_series(1, ${count}::int)`

const ofUser = (taken: ReadonlyArray<Claimed>, { id }: { readonly id: UserId }) =>
  taken.filter(({ userId }) => userId === id).length

test("one user gets a half, and leaves room for each that comes", async () => {
  const greedy = await addUser(20, 50)
  expect(ofUser(await here.take(), greedy)).toBe(32)
  expect(await here.take()).toEqual([])
  for (const fair of [16, 8, 4, 2, 1, 1]) {
    const next = await addUser(20, 50)
    expect(ofUser(await here.take(), next)).toBe(fair)
  }
})

test("everyone is served before anyone is served again", async () => {
  const users = [await addUser(20, 10), await addUser(1, 10), await addUser(3, 10), await addUser(1, 10)]
  for (const _ of [1, 2, 3]) {
    const served: Array<string> = []
    for (const _ of users) {
      const [attempt = expect.unreachable()] = await here.take(1)
      served.push(attempt.userId)
      await here.end(attempt)
    }
    expect(served.toSorted()).toEqual(users.map(({ id }) => `${id}`).toSorted())
  }
})

test("with as many users as free attempts, everyone gets one", async () => {
  const users = await Promise.all(Array.from({ length: 12 }, () => addUser(1, 4)))
  const taken = await here.take(10)
  expect(taken).toHaveLength(10)
  expect(new Set(taken.map(({ userId }) => userId)).size).toBe(10)
  // Those who wait come first in the next round, before anyone's second.
  const next = await here.take(2)
  expect(users.filter(({ id }) => [...taken, ...next].some(({ userId }) => userId === id))).toHaveLength(12)
})

test("a webhook gets 4, one that fails gets 1, and a disabled one none", async () => {
  const [working, failing, disabled] = [
    await addUser(2, 50),
    await addUser(2, 50, { isFailing: true }),
    await addUser(1, 50),
  ]
  await database.sql`update webhooks set enabled = false where user_id = ${disabled.id}`
  const taken = await here.take()
  expect([working, failing, disabled].map((user) => ofUser(taken, user))).toEqual([8, 2, 0])
  expect(await here.take()).toEqual([])
})

test("what was recorded as its webhook was disabled ends", async () => {
  const [user, other] = [await addUser(1, 0), await addUser(1, 0)]
  const [webhook = expect.unreachable(), used = expect.unreachable()] = [...user.webhooks, ...other.webhooks]
  const turn = await database.sql.reserve()
  await turn`begin`
  await turn`insert into webhook_deliveries (webhook_id, queued_for, type, data)
    values (${webhook}, ${user.id}, 'turn.completed', '{}')`
  await database.sql`update webhooks set enabled = false where id = ${webhook}`
  await turn`commit`
  turn.release()
  // As a process left it that had noticed that it is due.
  await add(webhook, 1)
  await add(used, 1)
  const [attempt = expect.unreachable()] = await here.take()
  expect(attempt.webhookId).toBe(used)
  await here.end(attempt)
  expect(await here.take()).toEqual([])
  expect(await here.look()).toBe(false)
  const rows = await database.sql`select state, error from webhook_deliveries where webhook_id = ${webhook}`
  const ended = { state: "failed", error: "The webhook was disabled." }
  expect([...rows]).toEqual([ended, ended])
})

test("of a user's webhooks, the idle one goes first", async () => {
  const user = await addUser(2, 0)
  const [busy = expect.unreachable(), idle = expect.unreachable()] = user.webhooks
  await add(busy, 50)
  await here.take(1)
  await add(idle, 1, { ageSeconds: 1 })
  expect(await here.take(2)).toMatchObject([{ webhookId: idle }])
})

test("new events go before replays", async () => {
  const user = await addUser(1, 0)
  const [webhook = expect.unreachable()] = user.webhooks
  await add(webhook, 50, { isReplay: true })
  await add(webhook, 1, { ageSeconds: 0 })
  const [first = expect.unreachable()] = await here.take(1)
  const [row] = await database.sql`select is_replay from webhook_deliveries where id = ${first.id}`
  expect(row).toEqual({ is_replay: false })
})

test("what is due later waits, and what a process left is due again", async () => {
  const user = await addUser(1, 1)
  const [attempt = expect.unreachable()] = await here.take()
  expect(await there.take()).toEqual([])
  await here.end(attempt, Duration.minutes(5))
  expect(await there.look()).toBe(false)
  await database.sql`update webhook_deliveries set next_attempt_at = now()`
  const [second = expect.unreachable()] = await there.take()
  expect(second).toMatchObject({ id: attempt.id, attempts: 2, userId: user.id })
  // The lease of `there` is over: its outcome counts until another process takes the delivery.
  await database.sql`update webhook_deliveries set next_attempt_at = now()`
  expect(await here.look()).toBe(true)
  await there.end(second)
  expect(await here.take()).toEqual([])
})

test("processes that claim at once share without taking anything twice", async () => {
  for (const webhooks of [1, 2, 20]) await addUser(webhooks, 20)
  await here.look()
  const all: Array<Claimed> = []
  for (let rounds = 0; rounds < 100 && all.length < 460; rounds += 1) {
    const claims = await Promise.all([here.claim(40), there.claim(40), here.claim(40), there.claim(40)])
    const taken = claims.flatMap((claim) => claim.taken)
    // Someone makes progress, or all is taken.
    expect(taken.length).toBeGreaterThan(0)
    all.push(...taken)
  }
  expect(new Set(all.map(({ id }) => id)).size).toBe(460)
  expect(all).toHaveLength(460)
  expect(await here.claim(40)).toEqual({ taken: [], isContended: false })
})

test("a claim whose rows another process holds says so", async () => {
  await addUser(1, 2)
  await here.look()
  const held = await database.sql.reserve()
  await held`begin`
  await held`select 1 from webhook_deliveries for update`
  expect(await here.claim(10)).toEqual({ taken: [], isContended: true })
  await held`rollback`
  held.release()
  expect((await here.claim(10)).taken).toHaveLength(2)
})
