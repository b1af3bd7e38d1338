import { expect } from "bun:test"
import { randomUUID } from "node:crypto"
import {
  Clock,
  Deferred,
  Duration,
  Effect,
  FiberRef,
  Layer,
  LogLevel,
  Queue,
  Redacted,
  Ref,
  TestClock,
} from "effect"
import { Encryption } from "../../src/db/encryption.ts"
import { DatabaseUnavailable } from "../../src/db/errors.ts"
import { type OutboundError, OutboundTimeout } from "../../src/outbound/errors.ts"
import { Outbound, type OutboundAnswer } from "../../src/outbound/outbound.ts"
import { DeliveryId, newId, UserId, WebhookId } from "../../src/schema.ts"
import {
  type AttemptRecord,
  type Claimed,
  DeliveryQueue,
  type DisabledReason,
} from "../../src/webhooks/delivery-queue.ts"
import * as Sender from "../../src/webhooks/sender.ts"
import { WebhookSignal } from "../../src/webhooks/signal.ts"
import { effectTest } from "../support/effect.ts"

interface Row {
  readonly delivery: Claimed
  dueAt: number
  state: "pending" | "delivered" | "failed"
  attempts: number
  claim: string | undefined
}

/** An endpoint: what it answers, and when. */
type Endpoint = Effect.Effect<OutboundAnswer, OutboundError>

const answer = (status: number, headers: Record<string, string> = {}): OutboundAnswer => ({
  status,
  headers: new Headers(headers),
  bytes: new Uint8Array(),
  isCut: false,
})

/** The sender on the test clock: the queue, the network and the key are fakes. */
const makeSender = Effect.fnUntraced(function* (
  options: {
    readonly recordsThatFail?: number
    /** So often another process is faster. */
    readonly claimsThatLose?: number
    /** It looks at the queue when the test says so: each sleep that ends on the test clock takes 10 ms of real time. */
    readonly looksOnDemand?: boolean
    /** Whether there are webhooks. */
    readonly isUsed?: boolean
  } = {},
) {
  yield* Effect.locallyScoped(FiberRef.currentMinimumLogLevel, LogLevel.None)
  const rows: Array<Row> = []
  const outcomes: Array<AttemptRecord> = []
  const disabled: Array<DisabledReason> = []
  const sent: Array<{ readonly at: number; readonly url: string; readonly id: string }> = []
  const endpoints = new Map<string, Endpoint>()
  const given: Array<DeliveryId> = []
  let looks = 0
  let claimsThatLose = options.claimsThatLose ?? 0
  let recordsThatFail = options.recordsThatFail ?? 0

  const queue = DeliveryQueue.of({
    look: Effect.map(Clock.currentTimeMillis, (now) => {
      looks += 1
      const isDue = rows.some(({ state, dueAt }) => state === "pending" && dueAt <= now)
      return { isDue, isUsed: options.isUsed ?? true }
    }),
    claim: (free, running) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        claimsThatLose -= 1
        if (claimsThatLose >= 0) return { taken: [], isContended: true }
        const taken: Array<Claimed> = []
        const counts = new Map<WebhookId, number>()
        for (const { webhookId } of running) counts.set(webhookId, (counts.get(webhookId) ?? 0) + 1)
        for (const row of rows) {
          const { webhookId } = row.delivery
          const count = counts.get(webhookId) ?? 0
          if (row.state !== "pending" || row.dueAt > now || count >= 4 || taken.length === free) continue
          counts.set(webhookId, count + 1)
          row.attempts += 1
          row.claim = randomUUID()
          row.dueAt = now + 60_000
          taken.push({ ...row.delivery, attempts: row.attempts, claim: row.claim })
        }
        return { taken, isContended: false }
      }),
    record: ({ claim }, outcome) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        recordsThatFail -= 1
        if (recordsThatFail >= 0) return new DatabaseUnavailable({ cause: "away" })
        const row = rows.find((each) => each.claim === claim)
        if (row === undefined) return Effect.succeed(false)
        outcomes.push(outcome)
        if (Duration.isDuration(outcome.then)) row.dueAt = now + Duration.toMillis(outcome.then)
        else row.state = outcome.then
        return Effect.succeed(false)
      }),
    words: () => Effect.succeedNone,
    giveBack: ({ id, claim }) =>
      Effect.sync(() => {
        const row = rows.find((each) => each.claim === claim)
        if (row !== undefined) row.dueAt = 0
        given.push(id)
      }),
    disable: (_, reason) => Effect.sync(() => disabled.push(reason) > 0),
    renewSecret: () => Effect.void,
  })
  const outbound = Outbound.of({
    request: ({ url, headers }, { timeout }) =>
      Effect.flatMap(Clock.currentTimeMillis, (at) => {
        sent.push({ at, url, id: headers["webhook-id"] ?? "" })
        return (endpoints.get(url) ?? Effect.succeed(answer(200))).pipe(
          Effect.timeoutFail({
            duration: timeout,
            onTimeout: () => new OutboundTimeout({ phase: "answer", seconds: Duration.toSeconds(timeout) }),
          }),
        )
      }),
    fetch: () => Promise.reject(new Error("not used by these tests")),
  })
  const calls = yield* Queue.sliding<void>(1)
  const wake = Effect.asVoid(Queue.offer(calls, undefined))
  const onDemand = Layer.succeed(WebhookSignal, { wake, wakeIf: () => wake, wait: () => Queue.take(calls) })
  const layer = Sender.layer.pipe(
    Layer.provide(options.looksOnDemand === true ? onDemand : WebhookSignal.layer),
    Layer.provide(
      Layer.mergeAll(
        Layer.succeed(DeliveryQueue, queue),
        Layer.succeed(Outbound, outbound),
        Layer.succeed(Encryption, {
          encrypt: () => Effect.succeed("sealed"),
          decrypt: () => Effect.succeed(Redacted.make("whsec_c2VjcmV0")),
          isCurrent: () => Effect.succeed(true),
        }),
      ),
    ),
  )
  const start = Effect.asVoid(Layer.build(layer))
  /** Goes to a time, in ms, and lets the sender work there. */
  const at = (time: number) =>
    TestClock.setTime(Math.ceil(time)).pipe(
      Effect.zipRight(wake),
      Effect.zipRight(TestClock.adjust("1 millis")),
    )
  const add = (url: string, webhookId = newId(WebhookId), more: Partial<Claimed> = {}) => {
    const delivery: Claimed = {
      id: newId(DeliveryId),
      webhookId,
      userId: newId(UserId),
      claim: randomUUID(),
      url,
      secret: "sealed",
      oldSecrets: [],
      type: "turn.completed",
      occurredAt: new Date(0),
      data: {},
      attempts: 0,
      transcripts: false,
      ...more,
    }
    const row: Row = { delivery, dueAt: 0, state: "pending", attempts: 0, claim: undefined }
    rows.push(row)
    return row
  }
  return { start, add, rows, outcomes, disabled, sent, endpoints, given, at, looks: () => looks }
})

const [minute, hour] = [60, 3600]
/** Each pause of the schedule, in seconds. */
const pauses = [5, 5 * minute, 30 * minute, 2 * hour, 5 * hour, 10 * hour, 14 * hour, 20 * hour, 24 * hour]

effectTest(
  "a delivery that fails is tried ten times in three days",
  Effect.gen(function* () {
    const { start, add, sent, endpoints, at } = yield* makeSender({ looksOnDemand: true })
    endpoints.set("a", Effect.succeed(answer(500)))
    const row = add("a")
    yield* start
    yield* at(1000)
    for (const [n, pause] of pauses.entries()) {
      expect(sent).toHaveLength(n + 1)
      const waited = (row.dueAt - (sent.at(-1)?.at ?? 0)) / 1000
      expect(waited).toBeGreaterThanOrEqual(pause)
      // With up to a tenth of jitter.
      expect(waited).toBeLessThanOrEqual(pause * 1.1)
      yield* at(row.dueAt - 100)
      expect(sent).toHaveLength(n + 1)
      yield* at(row.dueAt)
    }
    expect(sent).toHaveLength(10)
    expect(row).toMatchObject({ state: "failed", attempts: 10 })
    expect(new Set(sent.map(({ id }) => id)).size).toBe(1)
    expect(sent.at(-1)?.at ?? 0).toBeGreaterThan(72 * hour * 1000)
  }),
)

const retryAfters = [
  ["1", 5],
  ["3600", 3600],
  ["99999999", 24 * hour],
  ["soon", 5],
  ["-5", 5],
] as const
for (const [after, pause] of retryAfters) {
  effectTest(
    `Retry-After: ${after}`,
    Effect.gen(function* () {
      const { start, add, endpoints, at } = yield* makeSender({ looksOnDemand: true })
      endpoints.set("a", Effect.succeed(answer(503, { "retry-after": after })))
      const row = add("a")
      yield* start
      yield* at(1000)
      expect(row.dueAt / 1000).toBeGreaterThanOrEqual(pause)
      expect(row.dueAt / 1000).toBeLessThanOrEqual(pause * 1.1 + 1)
    }),
  )
}

effectTest(
  "a hanging endpoint holds up no other, and 4 of its deliveries are tried at a time",
  Effect.gen(function* () {
    const { start, add, sent, endpoints, rows } = yield* makeSender({ looksOnDemand: true })
    const over = yield* Deferred.make<OutboundAnswer>()
    endpoints.set("hangs", Deferred.await(over))
    const hanging = newId(WebhookId)
    for (let n = 0; n < 100; n += 1) add("hangs", hanging)
    const others = Array.from({ length: 50 }, (_, n) => add(`ok ${n}`))
    yield* start
    yield* TestClock.adjust("1 second")
    expect(others.every(({ state }) => state === "delivered")).toBe(true)
    expect(sent.filter(({ url }) => url === "hangs")).toHaveLength(4)
    yield* TestClock.adjust("15 seconds")
    expect(sent.filter(({ url }) => url === "hangs")).toHaveLength(8)
    expect(rows[0]).toMatchObject({ attempts: 1, state: "pending" })
    yield* Deferred.succeed(over, answer(200))
  }),
)

effectTest(
  "more than can be sent at a time is sent one after the other",
  Effect.gen(function* () {
    const { start, add, rows, sent, endpoints } = yield* makeSender()
    for (let n = 0; n < 200; n += 1) {
      endpoints.set(`${n}`, Effect.delay(Effect.succeed(answer(204)), "1 second"))
      add(`${n}`)
    }
    yield* start
    yield* TestClock.adjust("1500 millis")
    expect(sent).toHaveLength(64)
    yield* TestClock.adjust("4 seconds")
    expect(rows.every(({ state }) => state === "delivered")).toBe(true)
    expect(sent).toHaveLength(200)
  }),
)

effectTest(
  "what another process recorded is sent within a second",
  Effect.gen(function* () {
    const { start, add } = yield* makeSender()
    yield* start
    yield* TestClock.adjust("90 seconds")
    const row = add("a")
    yield* TestClock.adjust("1 second")
    expect(row.state).toBe("delivered")
  }),
)

effectTest(
  "a sender that loses a race looks again soon",
  Effect.gen(function* () {
    const { start, add } = yield* makeSender({ claimsThatLose: 3 })
    const row = add("a")
    yield* start
    yield* TestClock.adjust("1 second")
    expect(row.state).toBe("pending")
    yield* TestClock.adjust("150 millis")
    expect(row.state).toBe("delivered")
  }),
)

for (const [name, isUsed, times] of [
  ["every second", true, 60],
  ["every 30 seconds without webhooks", false, 2],
] as const) {
  effectTest(
    `an idle sender looks ${name}`,
    Effect.gen(function* () {
      const { start, looks } = yield* makeSender({ isUsed })
      yield* start
      // The look at the start, and the first of the interval.
      yield* TestClock.adjust("1 seconds")
      const first = looks()
      yield* TestClock.adjust("1 minute")
      expect(Math.abs(looks() - first - times)).toBeLessThanOrEqual(1)
    }),
  )
}

effectTest(
  "an outcome is recorded when the database is back",
  Effect.gen(function* () {
    const { start, add, sent } = yield* makeSender({ recordsThatFail: 5 })
    const row = add("a")
    yield* start
    yield* TestClock.adjust("5 seconds")
    expect(row.state).toBe("delivered")
    expect(sent).toHaveLength(1)
  }),
)

effectTest(
  "a delivery that is not recorded is sent once more, with the same id",
  Effect.gen(function* () {
    const { start, add, sent } = yield* makeSender({ recordsThatFail: 30 })
    const row = add("a")
    yield* start
    yield* TestClock.adjust("59 seconds")
    expect(sent).toHaveLength(1)
    yield* TestClock.adjust("21 seconds")
    expect(row.state).toBe("delivered")
    expect(sent.map(({ id }) => id)).toEqual([row.delivery.id, row.delivery.id])
  }),
)

effectTest(
  "at the end, attempts under way finish or are given back",
  Effect.gen(function* () {
    const { start, add, endpoints, given } = yield* makeSender()
    endpoints.set("slow", Effect.delay(Effect.succeed(answer(200)), "3 seconds"))
    endpoints.set("hangs", Effect.never)
    const [slow, hanging] = [add("slow"), add("hangs")]
    const stopping = yield* Ref.make(false)
    const stop = yield* Deferred.make<void>()
    const service = yield* Effect.fork(
      Effect.scoped(Effect.zipRight(start, Deferred.await(stop))).pipe(
        Effect.zipRight(Ref.set(stopping, true)),
      ),
    )
    yield* TestClock.adjust("1 second")
    yield* Deferred.succeed(stop, undefined)
    const late = add("late")
    yield* TestClock.adjust("3 seconds")
    expect(slow.state).toBe("delivered")
    expect(yield* Ref.get(stopping)).toBe(false)
    yield* TestClock.adjust("2 seconds")
    yield* service
    expect(given).toEqual([hanging.delivery.id])
    expect(hanging).toMatchObject({ state: "pending", dueAt: 0 })
    expect(late.attempts).toBe(0)
  }),
)

effectTest(
  "410 and the test event end at once",
  Effect.gen(function* () {
    const { start, add, endpoints, disabled } = yield* makeSender()
    endpoints.set("gone", Effect.succeed(answer(410)))
    endpoints.set("fails", Effect.succeed(answer(500)))
    const [gone, test] = [add("gone"), add("fails", newId(WebhookId), { type: "webhook.test" })]
    yield* start
    yield* TestClock.adjust("1 second")
    expect([gone, test].map(({ state, attempts }) => [state, attempts])).toEqual([
      ["failed", 1],
      ["failed", 1],
    ])
    expect(disabled).toEqual(["gone"])
  }),
)
