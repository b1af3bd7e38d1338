import { Duration, Effect, FiberSet, Layer, Option, Schedule, Stream } from "effect"
import { Notifications } from "../db/notifications.ts"
import { uninterruptibleWithTimeout } from "../db/postgres.ts"
import { countWebhookAttempt } from "../metrics.ts"
import type { WebhookId } from "../schema.ts"
import { type Attempt, makeAttempts } from "./attempt.ts"
import { type AttemptRecord, type Claimed, DeliveryQueue, type DisabledReason } from "./delivery-queue.ts"
import { testType } from "./events.ts"
import { pauseAfter } from "./retry.ts"
import { WebhookSignal } from "./signal.ts"

/** Attempts of this process at a time, most of which wait for answers. Each has a connection of its own. */
const maxAttempts = 64

/** The longest pause between two looks at the queue: a notification may be lost, and PgBouncer passes none on. */
const lookInterval = Duration.seconds(10)

/** The shortest one: what is due and not taken waits for an attempt to end, or is taken by another process. */
const shortestPause = Duration.seconds(1)

/** How long the end of the service waits for the attempts that run. The rest is left to other processes. */
const stopTimeout = Duration.seconds(5)

/** Repeats the record of an outcome while the database is away. Later, the delivery is taken for lost and sent once more. */
const recordSchedule = Schedule.spaced("500 millis").pipe(Schedule.upTo("10 seconds"))

/** Makes one attempt after the other, records what comes of them, and disables webhooks. */
const makeDelivery = Effect.gen(function* () {
  const queue = yield* DeliveryQueue
  const attempt = yield* makeAttempts

  const disable = Effect.fnUntraced(function* ({ webhookId }: Claimed, reason: DisabledReason) {
    if (yield* queue.disable(webhookId, reason)) {
      yield* Effect.annotateLogs(Effect.logWarning("webhook.disabled"), { reason })
    }
  })

  const recordOf = Effect.fnUntraced(function* (
    { type, attempts }: Claimed,
    { verdict, retryAfter, status, answer, error }: Attempt,
  ) {
    const isRetried = verdict === "failed" && type !== testType
    const pause = isRetried ? yield* pauseAfter(attempts, retryAfter) : Option.none()
    const then = verdict === "delivered" ? verdict : Option.getOrElse(pause, () => "failed" as const)
    return { status, answer, error, then } satisfies AttemptRecord
  })

  const finish = Effect.fnUntraced(function* (delivery: Claimed, attempt: Attempt) {
    yield* countWebhookAttempt(attempt.verdict)
    const record = yield* recordOf(delivery, attempt)
    const isFailing = yield* Effect.retry(queue.record(delivery, record), recordSchedule)
    if (attempt.verdict === "gone") yield* disable(delivery, "gone")
    else if (isFailing) yield* disable(delivery, "failing")
  })

  const log = (delivery: Claimed, { verdict, status, error }: Attempt, ms: number) =>
    Effect.annotateLogs(
      verdict === "delivered"
        ? Effect.logInfo("webhook.delivered")
        : Effect.logWarning("webhook.attempt_failed"),
      {
        type: delivery.type,
        attempt: delivery.attempts,
        ms,
        ...(status === null ? {} : { status }),
        ...(error === null ? {} : { reason: error }),
      },
    )

  return (delivery: Claimed) =>
    Effect.uninterruptibleMask((restore) =>
      restore(Effect.timed(attempt(delivery))).pipe(
        Effect.onInterrupt(() => uninterruptibleWithTimeout(Effect.ignore(queue.giveBack(delivery)))),
        Effect.flatMap(([took, made]) =>
          uninterruptibleWithTimeout(
            Effect.zipRight(log(delivery, made, Math.round(Duration.toMillis(took))), finish(delivery, made)),
          ),
        ),
      ),
    ).pipe(
      Effect.catchAllCause((cause) => Effect.logWarning("webhook.not_recorded", cause)),
      Effect.annotateLogs({ webhookId: delivery.webhookId, deliveryId: delivery.id }),
    )
})

/**
 * Sends what is due, in every process of the service. It looks at the queue when something was recorded, when the next attempt
 * is due, and every 10 s.
 */
export const layer = Layer.scopedDiscard(
  Effect.gen(function* () {
    const queue = yield* DeliveryQueue
    const signal = yield* WebhookSignal
    const notifications = yield* Notifications
    const deliver = yield* makeDelivery
    const running = new Map<WebhookId, number>()
    const attempts = yield* FiberSet.make()
    yield* Effect.addFinalizer(() =>
      FiberSet.awaitEmpty(attempts).pipe(Effect.timeoutOption(stopTimeout), Effect.interruptible),
    )

    const count = (id: WebhookId, by: number) => {
      const left = (running.get(id) ?? 0) + by
      if (left > 0) running.set(id, left)
      else running.delete(id)
    }
    const start = (delivery: Claimed) =>
      Effect.suspend(() => {
        count(delivery.webhookId, 1)
        const ended = Effect.zipRight(
          Effect.sync(() => count(delivery.webhookId, -1)),
          signal.wake,
        )
        return FiberSet.run(attempts, Effect.ensuring(Effect.interruptible(deliver(delivery)), ended))
      })

    /** Until the next look at the queue. */
    const look = Effect.gen(function* () {
      const { isUsed, next } = yield* queue.upcoming
      // A service without webhooks has nothing to send, and needs no transaction to know it.
      if (!isUsed) return lookInterval
      yield* listen
      const free = maxAttempts - (yield* FiberSet.size(attempts))
      // What was taken must not get lost between the answer of the database and the start.
      const taken =
        free === 0
          ? []
          : yield* Effect.uninterruptible(
              Effect.tap(uninterruptibleWithTimeout(queue.claim(free, running)), Effect.forEach(start)),
            )
      if (free > 0 && taken.length === free) return Duration.zero
      return Duration.min(
        lookInterval,
        Duration.max(
          shortestPause,
          Option.getOrElse(next, () => lookInterval),
        ),
      )
    })

    // Only a service with webhooks has a connection for this.
    const listen = yield* Effect.cached(
      notifications.listen("webhook_deliveries").pipe(
        Stream.runForEach(() => signal.wake),
        Effect.tapErrorCause((cause) => Effect.logWarning("webhook.notifications_lost", cause)),
        Effect.retry(Schedule.spaced(lookInterval)),
        Effect.forkScoped,
      ),
    )

    yield* look.pipe(
      Effect.catchAllCause((cause) =>
        Effect.as(Effect.logWarning("webhook.queue_unavailable", cause), lookInterval),
      ),
      Effect.flatMap(signal.wait),
      Effect.forever,
      // The first requests go before what has waited for the start.
      Effect.delay(shortestPause),
      Effect.forkScoped,
    )
  }),
)
