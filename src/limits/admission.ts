import { Context, Deferred, Duration, Effect, Layer, Option, Schema, type Scope } from "effect"
import { Settings } from "../config.ts"
import { type Arrival, makeFairQueue, type Obstacle } from "./fair-queue.ts"

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
  /** Keeps the place until the end of one more scope. Interrupts where the place was given back before. */
  readonly keep: Effect.Effect<void, never, Scope.Scope>
}

const unbounded = (most: number) => (most === 0 ? Number.POSITIVE_INFINITY : most)

/** How many turns this process has in hand at a time, of all users and of each. Every process counts for itself. */
export class Admission extends Context.Tag("Admission")<
  Admission,
  {
    /**
     * A place for a turn of the user, until the end of the scope: at once, or when one is free within
     * TURN_QUEUE_SECONDS. Whoever is interrupted while it waits waits no more.
     */
    readonly enter: (userId: string) => Effect.Effect<Place, Overloaded | TooManyTurns, Scope.Scope>
    /**
     * Done when there is room for a turn of the user, at once or within TURN_QUEUE_SECONDS; no place is taken. Asked
     * before a recording is read, so that one for which there is no room is refused unread, and one that comes slowly
     * keeps nobody from a place.
     */
    readonly knock: (userId: string) => Effect.Effect<void, Overloaded | TooManyTurns>
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
          Effect.forEach(queue.finish(userId), (waiter) => Deferred.succeed(waiter, undefined), {
            discard: true,
          }),
        )

      /**
       * Done once it is admitted; `giveBack` where that was in the same moment in which it was interrupted. To be called
       * uninterruptibly: only the waiting may be.
       */
      const admitted = (
        userId: string,
        ask: (userId: string, waiter: Deferred.Deferred<void>) => Arrival,
        giveBack: Effect.Effect<void>,
      ) =>
        Effect.gen(function* () {
          const waiter = yield* Deferred.make<void>()
          const arrival = ask(userId, waiter)
          if (arrival === "admitted") return
          if (arrival !== "waits") return yield* refusal(arrival)
          const inTime = yield* Effect.interruptible(
            Effect.timeoutOption(Deferred.await(waiter), turnQueuePatience),
          ).pipe(
            Effect.onInterrupt(() =>
              Effect.suspend(() => (Option.isSome(queue.leave(userId, waiter)) ? Effect.void : giveBack)),
            ),
          )
          if (Option.isSome(inTime)) return
          // None where it was admitted in the same moment: then it goes on.
          const obstacle = queue.leave(userId, waiter)
          if (Option.isSome(obstacle)) return yield* refusal(obstacle.value)
        })

      const enter = Effect.fn("Admission.enter")((userId: string) =>
        Effect.uninterruptible(
          Effect.gen(function* () {
            yield* admitted(userId, queue.arrive, finish(userId))
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
            const place: Place = { keep: Effect.suspend(() => (holders === 0 ? Effect.interrupt : hold)) }
            return place
          }),
        ),
      )
      const knock = Effect.fn("Admission.knock")((userId: string) =>
        Effect.uninterruptible(admitted(userId, queue.knock, Effect.void)),
      )

      return { enter, knock, size: Effect.sync(queue.size) }
    }),
  )
}
