import { Context, Deferred, Duration, Effect, Layer, Option, Schema, type Scope } from "effect"
import { Settings } from "../config.ts"
import { makeFairQueue, type Obstacle } from "./fair-queue.ts"

/** MAX_TURNS are in hand already, and none of them ended while this one waited. */
export class Overloaded extends Schema.TaggedError<Overloaded>()("Overloaded", {
  /** Seconds. */
  retryAfter: Schema.Number,
}) {}

/** The user has MAX_TURNS_PER_USER in hand already, and none of them ended while this one waited. */
export class TooManyTurns extends Schema.TaggedError<TooManyTurns>()("TooManyTurns", {
  most: Schema.Number,
  /** Seconds. */
  retryAfter: Schema.Number,
}) {}

/** A turn's place among those in hand; given back at the end of the scope that it was taken in. */
export interface Place {
  /**
   * Keeps the place until the end of one more scope: of a turn that goes on without its client. Interrupts where the
   * place was given back before.
   */
  readonly keep: Effect.Effect<void, never, Scope.Scope>
}

const unbounded = (most: number) => (most === 0 ? Number.POSITIVE_INFINITY : most)

/** How many turns this process has in hand at a time, of all users and of each. Every process counts for itself. */
export class Admission extends Context.Tag("Admission")<
  Admission,
  {
    /**
     * A place for a turn of the user: at once, or when one is free within TURN_QUEUE_SECONDS. Whoever is interrupted
     * while it waits waits no more.
     */
    readonly enter: (userId: string) => Effect.Effect<Place, Overloaded | TooManyTurns, Scope.Scope>
    /** How many turns are in hand, how many wait, and of how many users anything is known. */
    readonly size: Effect.Effect<{
      readonly inHand: number
      readonly waiting: number
      readonly users: number
    }>
  }
>() {
  static readonly layer = Layer.effect(
    Admission,
    Effect.gen(function* () {
      const { maxTurns, maxTurnsPerUser, turnQueueLength, turnQueuePatience } = yield* Settings
      const queue = makeFairQueue<Deferred.Deferred<void>>({
        all: unbounded(maxTurns),
        perUser: unbounded(maxTurnsPerUser),
        waiting: Duration.toMillis(turnQueuePatience) === 0 ? 0 : turnQueueLength,
      })
      const retryAfter = Math.max(1, Math.ceil(Duration.toSeconds(turnQueuePatience)))

      const refusal = (obstacle: Obstacle) =>
        obstacle === "own"
          ? new TooManyTurns({ most: maxTurnsPerUser, retryAfter })
          : new Overloaded({ retryAfter })

      const finish = (userId: string) =>
        Effect.suspend(() =>
          Option.match(queue.finish(userId), {
            onNone: () => Effect.void,
            onSome: (waiter) => Deferred.succeed(waiter, undefined),
          }),
        )

      /** Done once there is a place, which is then the caller's to give back. */
      const place = (
        userId: string,
        restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>,
      ) =>
        Effect.gen(function* () {
          const admitted = yield* Deferred.make<void>()
          const arrival = queue.arrive(userId, admitted)
          if (arrival === "admitted") return
          if (arrival !== "waits") return yield* refusal(arrival)
          const inTime = yield* restore(
            Effect.timeoutOption(Deferred.await(admitted), turnQueuePatience),
          ).pipe(
            Effect.onInterrupt(() =>
              Effect.suspend(() =>
                Option.isSome(queue.leave(userId, admitted)) ? Effect.void : finish(userId),
              ),
            ),
          )
          if (Option.isSome(inTime)) return
          // None where it was admitted in the same moment: then it goes on.
          const obstacle = queue.leave(userId, admitted)
          if (Option.isSome(obstacle)) return yield* refusal(obstacle.value)
        })

      const enter = Effect.fn("Admission.enter")((userId: string) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.gen(function* () {
            yield* place(userId, restore)
            let holders = 0
            const hold = Effect.acquireRelease(
              Effect.sync(() => {
                holders += 1
              }),
              () =>
                Effect.suspend(() => {
                  holders -= 1
                  return holders === 0 ? finish(userId) : Effect.void
                }),
            )
            yield* hold
            return { keep: Effect.suspend(() => (holders === 0 ? Effect.interrupt : hold)) }
          }),
        ),
      )

      return { enter, size: Effect.sync(queue.size) }
    }),
  )
}
