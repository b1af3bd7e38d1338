import { Deferred, type Duration, Effect, Option } from "effect"
import { type Arrival, type Bounds, makeFairQueue, type Obstacle } from "./fair-queue.ts"

/** Places for work of many users, handed out as `makeFairQueue` says. */
export interface Places {
  /**
   * A place, at once or when one is free in time; it is then the caller's to give back. To be called where it can't be
   * interrupted, with what makes the waiting interruptible: whoever is interrupted then waits no more.
   */
  readonly enter: (
    userId: string,
    restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>,
  ) => Effect.Effect<void, Obstacle>
  /** Done when there is room, at once or in time; no place is taken. */
  readonly knock: (userId: string) => Effect.Effect<void, Obstacle>
  /** Gives one back. */
  readonly leave: (userId: string) => Effect.Effect<void>
  /** Does something in a place. */
  readonly within: <A, E, R>(
    userId: string,
    effect: Effect.Effect<A, E, R>,
  ) => Effect.Effect<A, E | Obstacle, R>
  /** How many are taken, how many are waited for, and of how many users anything is known. */
  readonly size: Effect.Effect<{
    readonly inHand: number
    readonly waiting: number
    readonly users: number
  }>
}

/** Whoever waits longer than `patience` is told what stood in the way. */
export const makePlaces = (bounds: Bounds, patience: Duration.Duration): Places => {
  const queue = makeFairQueue<Deferred.Deferred<void>>(bounds)

  const leave: Places["leave"] = (userId) =>
    Effect.suspend(() =>
      Effect.forEach(queue.finish(userId), (waiter) => Deferred.succeed(waiter, undefined), {
        discard: true,
      }),
    )

  /** `giveBack`: where it was admitted in the same moment in which it was interrupted. */
  const admission = (
    userId: string,
    ask: (userId: string, waiter: Deferred.Deferred<void>) => Arrival,
    giveBack: Effect.Effect<void>,
    restore: Parameters<Places["enter"]>[1],
  ) =>
    Effect.gen(function* () {
      const admitted = yield* Deferred.make<void>()
      const arrival = ask(userId, admitted)
      if (arrival === "admitted") return
      if (arrival !== "waits") return yield* Effect.fail(arrival)
      const inTime = yield* restore(Effect.timeoutOption(Deferred.await(admitted), patience)).pipe(
        Effect.onInterrupt(() =>
          Effect.suspend(() => (Option.isSome(queue.leave(userId, admitted)) ? Effect.void : giveBack)),
        ),
      )
      if (Option.isSome(inTime)) return
      // None where it was admitted in the same moment: then it goes on.
      const obstacle = queue.leave(userId, admitted)
      if (Option.isSome(obstacle)) return yield* Effect.fail(obstacle.value)
    })

  const enter: Places["enter"] = (userId, restore) => admission(userId, queue.arrive, leave(userId), restore)

  const knock: Places["knock"] = (userId) =>
    Effect.uninterruptibleMask((restore) => admission(userId, queue.knock, Effect.void, restore))

  const within: Places["within"] = (userId, effect) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.zipRight(enter(userId, restore), Effect.ensuring(restore(effect), leave(userId))),
    )

  return { enter, knock, leave, within, size: Effect.sync(queue.size) }
}
