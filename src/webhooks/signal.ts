import { Context, type Duration, Effect, Layer, Queue } from "effect"

/**
 * Wakes the sender of this process. No notification of the database: PostgreSQL commits the transactions that send one after
 * the other, those of all users.
 */
export class WebhookSignal extends Context.Tag("voice-agent/WebhookSignal")<
  WebhookSignal,
  {
    readonly wake: Effect.Effect<void>
    /** After the COMMIT of what may have recorded events. */
    readonly wakeIf: (hasEvents: boolean) => Effect.Effect<void>
    /** Until someone calls `wake`, or has called it since the last wait; `timeout` at most. */
    readonly wait: (timeout: Duration.Duration) => Effect.Effect<void>
  }
>() {
  static readonly layer = Layer.effect(
    WebhookSignal,
    Effect.map(Queue.sliding<void>(1), (calls) => {
      const wake = Effect.asVoid(Queue.offer(calls, undefined))
      return {
        wake,
        wakeIf: (hasEvents) => (hasEvents ? wake : Effect.void),
        wait: (timeout) => Effect.asVoid(Effect.timeoutOption(Queue.take(calls), timeout)),
      }
    }),
  )
}
