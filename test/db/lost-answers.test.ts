import { afterAll, beforeAll, expect, test } from "bun:test"
import { Effect, Exit, Layer, ManagedRuntime } from "effect"
import { Ledger } from "../../src/conversation/ledger.ts"
import { newId, TurnId, UserId } from "../../src/schema.ts"
import { UsageDays } from "../../src/usage/usage-days.ts"
import { DeliveryQueue } from "../../src/webhooks/delivery-queue.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { storedParts } from "../support/stored-parts.ts"
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts"

let database: TestDatabase
let proxy: TcpProxy
beforeAll(async () => {
  database = await makeDatabase()
  proxy = await startTcpProxy(database.url)
})
afterAll(async () => {
  await runtime.dispose()
  await proxy.stop()
  await database.drop()
})

const parts = storedParts(Layer.mergeAll(Ledger.layer, UsageDays.layer, DeliveryQueue.layer), () => proxy)
const runtime = ManagedRuntime.make(parts)

const addUser = async () => {
  const [{ id }] = await database.sql`
    insert into users (email) values (gen_random_uuid() || '@example.com') returning id`
  return UserId.make(id)
}

const usage = { audioSeconds: 2, inputTokens: 0, outputTokens: 0, charactersSpoken: 0 }
const bill = { models: [], nanos: 7, currency: "USD" }
const spentBy = async (userId: UserId) => {
  const rows = await database.sql`select cost_nanos::int as nanos from usage_days where user_id = ${userId}`
  return rows.map(({ nanos }: { readonly nanos: number }) => nanos)
}

const counting: ReadonlyArray<
  readonly [string, (userId: UserId) => Effect.Effect<unknown, unknown, Ledger | UsageDays>]
> = [
  [
    "outside of turns",
    (userId) => Effect.flatMap(UsageDays, (days) => days.add({ userId }, { usage, bill })),
  ],
  [
    "by a turn that was deleted",
    (userId) =>
      Effect.flatMap(Ledger, (ledger) =>
        ledger.fail({ id: newId(TurnId), timings: {}, usage, bill, payer: { userId } }),
      ),
  ],
]

test.each(counting)("what is used %s counts once, whichever answer is lost", async (_, count) => {
  // The first connections.
  await runtime.runPromise(count(await addUser()))
  for (const [statement, when, spent] of [
    [/add_usage/, "before", []],
    [/add_usage/, "after", []],
    [/^BEGIN/, "after", [7]],
    [/^COMMIT/, "before", []],
    [/^COMMIT/, "after", [7]],
  ] as const) {
    const userId = await addUser()
    proxy.breakOn(statement, when)
    const exit = await runtime.runPromiseExit(count(userId))
    expect([when, `${statement}`, await spentBy(userId)]).toEqual([when, `${statement}`, [...spent]])
    // Who is told of a failure counts again.
    expect([when, `${statement}`, Exit.isSuccess(exit)]).toEqual([when, `${statement}`, spent.length > 0])
  }
})

test("a claim whose answer is lost leaves the deliveries as they were", async () => {
  const claim = Effect.gen(function* () {
    const queue = yield* DeliveryQueue
    yield* queue.look
    return (yield* queue.claim(10, [])).taken
  })
  await database.sql`insert into webhooks (id, user_id, url, events, secret)
    values (gen_random_uuid(), ${await addUser()}, 'https://example.com', '{turn.completed}', '')`
  await database.sql`insert into webhook_deliveries (webhook_id, type, data)
    select id, 'turn.completed', '{}' from webhooks`
  proxy.breakOn(/set attempts = attempts \+ 1/, "after")
  expect(Exit.isFailure(await runtime.runPromiseExit(claim))).toBe(true)
  const [row] =
    await database.sql`select attempts, claim, next_attempt_at <= now() as is_due from webhook_deliveries`
  expect(row).toEqual({ attempts: 0, claim: null, is_due: true })
  expect(await runtime.runPromise(claim)).toMatchObject([{ attempts: 1 }])
})
