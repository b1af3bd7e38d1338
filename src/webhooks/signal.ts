import { Context, type Duration, Effect, Layer, Queue } from "effect"

/** Wakes the sender of this process. What other processes record wakes it by a notification of the database. */
export class WebhookSignal extends Context.Tag("voice-agent/WebhookSignal")<
  WebhookSignal,
  {
    readonly wake: Effect.Effect<void>
    /** Until someone calls `wake`, or has called it since the last wait; `timeout` at most. */
    readonly wait: (timeout: Duration.Duration) => Effect.Effect<void>
  }
>() {
  static readonly layer = Layer.effect(
    WebhookSignal,
    Effect.map(Queue.sliding<void>(1), (calls) => ({
      wake: Effect.asVoid(Queue.offer(calls, undefined)),
      wait: (timeout) => Effect.asVoid(Effect.timeoutOption(Queue.take(calls), timeout)),
    })),
  )
}
