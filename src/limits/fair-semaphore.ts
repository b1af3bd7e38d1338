import { Deferred, type Duration, Effect, Exit, Option } from "effect"
import { type FairLimits, type FairPermits, type Limit, makeFairPermits } from "./fair-permits.ts"

/** Permits that users share fairly: turn slots, or bytes. `makeFairPermits` has the rules. */
export interface FairSemaphore {
  /** Whether `tryTake` would succeed. Reserves nothing. */
  readonly canTake: (user: string, permits: number) => boolean
  /** Takes the permits now and returns true, or takes none. The caller gives them back. */
  readonly tryTake: (user: string, permits: number) => boolean
  readonly giveBack: (user: string, permits: number) => void
  /**
   * Takes the permits, waiting up to the time-out. Call inside `uninterruptibleMask` and pass `restore`; the caller
   * gives them back.
   */
  readonly acquire: (
    user: string,
    permits: number,
    restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>,
  ) => Effect.Effect<void, Limit>
  /** Waits up to the time-out until the permits are free, and takes none. */
  readonly waitForCapacity: (user: string, permits: number) => Effect.Effect<void, Limit>
  /** Runs the effect while holding the permits; fails with `onLimit` if they did not become free in time. */
  readonly withPermits: <A, E, R, E2>(
    user: string,
    permits: number,
    effect: Effect.Effect<A, E, R>,
    onLimit: (limit: Limit) => E2,
  ) => Effect.Effect<A, E | E2, R>
  readonly size: FairPermits<never>["size"]
}

/** A request that has waited for `timeout` fails with the limit that it waited for. */
export const makeFairSemaphore = (limits: FairLimits, timeout: Duration.Duration): FairSemaphore => {
  type Waiter = Deferred.Deferred<void>
  const permits = makeFairPermits<Waiter>(limits, (waiter) => Deferred.unsafeDone(waiter, Exit.void))

  /** `undo`: for a fiber that is interrupted in the moment of its admission. */
  const waitFor = (
    request: (waiter: Waiter) => ReturnType<FairPermits<Waiter>["request"]>,
    cancel: (waiter: Waiter) => Limit | undefined,
    undo: () => void,
    restore: Parameters<FairSemaphore["acquire"]>[2],
  ) =>
    Effect.gen(function* () {
      const waiter = yield* Deferred.make<void>()
      const outcome = request(waiter)
      if (outcome === "admitted") return
      if (outcome !== "queued") return yield* Effect.fail(outcome)
      const inTime = yield* restore(Effect.timeoutOption(Deferred.await(waiter), timeout)).pipe(
        Effect.onInterrupt(() =>
          Effect.sync(() => {
            if (cancel(waiter) === undefined) undo()
          }),
        ),
      )
      if (Option.isSome(inTime)) return
      // Undefined: admitted in the moment of the time-out.
      const limit = cancel(waiter)
      if (limit !== undefined) return yield* Effect.fail(limit)
    })

  const acquire: FairSemaphore["acquire"] = (user, count, restore) =>
    waitFor(
      (waiter) => permits.request(user, count, waiter),
      (waiter) => permits.cancel(user, waiter),
      () => permits.giveBack(user, count),
      restore,
    )

  const waitForCapacity: FairSemaphore["waitForCapacity"] = (user, count) =>
    Effect.uninterruptibleMask((restore) =>
      waitFor(
        (waiter) => permits.requestCapacity(user, count, waiter),
        (waiter) => permits.cancel(user, waiter),
        () => undefined,
        restore,
      ),
    )

  const withPermits: FairSemaphore["withPermits"] = (user, count, effect, onLimit) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.zipRight(
        Effect.mapError(acquire(user, count, restore), onLimit),
        Effect.ensuring(
          restore(effect),
          Effect.sync(() => permits.giveBack(user, count)),
        ),
      ),
    )

  return {
    canTake: permits.canTake,
    tryTake: permits.take,
    giveBack: permits.giveBack,
    acquire,
    waitForCapacity,
    withPermits,
    size: permits.size,
  }
}
