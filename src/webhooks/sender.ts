import { Duration, Effect, FiberSet, Layer, Option, Schedule } from "effect"
import { uninterruptibleWithTimeout } from "../db/postgres.ts"
import { countWebhookAttempt } from "../metrics.ts"
import { type Attempt, makeAttempts } from "./attempt.ts"
import { type AttemptRecord, type Claimed, DeliveryQueue, type DisabledReason } from "./delivery-queue.ts"
import { testType } from "./events.ts"
import { pauseAfter } from "./retry.ts"
import { WebhookSignal } from "./signal.ts"

/** Attempts of this process at a time, most of which wait for answers. Each has a connection of its own. */
const maxAttempts = 64

/**
 * Between two looks at the queue. What this process records is sent at once; what a process left that is gone waits so long.
 */
const lookInterval = Duration.seconds(1)

/** The same while there are no webhooks at all: a look each second is the most of what an idle service costs. */
const unusedInterval = Duration.seconds(30)

/** After another process took what this one had chosen. */
const contendedPause = Duration.millis(50)

/** While the database is away. */
const unavailablePause = Duration.seconds(10)

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

  const log = (delivery: Claimed, { verdict, status, reason }: Attempt, ms: number) =>
    Effect.annotateLogs(
      verdict === "delivered"
        ? Effect.logInfo("webhook.delivered")
        : Effect.logWarning("webhook.attempt_failed"),
      {
        type: delivery.type,
        attempt: delivery.attempts,
        ms,
        ...(status === null ? {} : { status }),
        ...(reason === null ? {} : { reason }),
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
 * Sends what is due, in every process of the service. It looks at the queue when this process has recorded something, when an
 * attempt has ended, and every second while there are webhooks.
 */
export const layer = Layer.scopedDiscard(
  Effect.gen(function* () {
    const queue = yield* DeliveryQueue
    const signal = yield* WebhookSignal
    const deliver = yield* makeDelivery
    const running = new Set<Claimed>()
    const attempts = yield* FiberSet.make()
    yield* Effect.addFinalizer(() =>
      FiberSet.awaitEmpty(attempts).pipe(Effect.timeoutOption(stopTimeout), Effect.interruptible),
    )

    const start = (delivery: Claimed) =>
      Effect.suspend(() => {
        running.add(delivery)
        const ended = Effect.zipRight(
          Effect.sync(() => running.delete(delivery)),
          signal.wake,
        )
        return FiberSet.run(attempts, Effect.ensuring(Effect.interruptible(deliver(delivery)), ended))
      })

    /** Until the next look at the queue. */
    const look = Effect.gen(function* () {
      const { isDue, isUsed } = yield* queue.look
      if (!isUsed) return unusedInterval
      const free = maxAttempts - running.size
      if (!isDue || free === 0) return lookInterval
      // What was taken must not get lost between the answer of the database and the start.
      const { isContended } = yield* Effect.uninterruptible(
        Effect.tap(uninterruptibleWithTimeout(queue.claim(free, [...running])), ({ taken }) =>
          Effect.forEach(taken, start),
        ),
      )
      return isContended ? contendedPause : lookInterval
    })

    yield* look.pipe(
      Effect.catchAllCause((cause) =>
        Effect.as(Effect.logWarning("webhook.queue_unavailable", cause), unavailablePause),
      ),
      Effect.flatMap(signal.wait),
      Effect.forever,
      // The first requests go before what has waited for the start.
      Effect.delay(lookInterval),
      Effect.forkScoped,
    )
  }),
)
