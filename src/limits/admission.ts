import { Context, Duration, Effect, Layer, Schema, Scope } from "effect"
import { Settings } from "../config.ts"
import type { UserId } from "../schema.ts"
import type { Limit } from "./fair-permits.ts"
import { type FairSemaphore, makeFairSemaphore } from "./fair-semaphore.ts"

/** The service is at capacity, and nothing became free while the request waited. */
export class Overloaded extends Schema.TaggedError<Overloaded>()("Overloaded", {
  /** The resource that ran out, for the log. */
  reason: Schema.Literal(
    "turns",
    "uploads",
    "upload space",
    "decoding",
    "conversion",
    "memory",
    "realtime sessions",
    "shutdown",
  ),
  /** Seconds. */
  retryAfter: Schema.Number,
}) {}

/** The user has MAX_TURNS_PER_USER turns running, and none of them ended while the request waited. */
export class TooManyTurns extends Schema.TaggedError<TooManyTurns>()("TooManyTurns", {
  most: Schema.Number,
  /** Seconds. */
  retryAfter: Schema.Number,
}) {}

/** The limit that a setting names: 0 means none. */
export const limitOf = (setting: number) => (setting === 0 ? Number.POSITIVE_INFINITY : setting)

/** Seconds after which a retry makes sense: as long as the request has waited. */
export const retryAfterOf = (timeout: Duration.Duration) =>
  Math.max(1, Math.ceil(Duration.toSeconds(timeout)))

/** How long a turn keeps its slot. */
export interface SlotOptions {
  /** A second scope that holds the slot: it is free when both have closed, in either order. */
  readonly alsoHeldBy?: Scope.Scope
}

type Refused = Overloaded | TooManyTurns

/**
 * Limits the turns that this process runs at a time: MAX_TURNS of all users, MAX_TURNS_PER_USER of each. A turn that
 * finds no slot free waits up to TURN_QUEUE_SECONDS. Every process counts for itself.
 */
export class Admission extends Context.Tag("voice-agent/Admission")<
  Admission,
  {
    /**
     * Waits for capacity, reads the input, then takes a slot until the end of the scope. Without capacity the input is
     * refused unread; while it is read, which may be slow, it holds no slot.
     */
    readonly admit: <A, E, R>(
      userId: UserId,
      read: Effect.Effect<A, E, R>,
      options?: SlotOptions,
    ) => Effect.Effect<A, E | Refused, R | Scope.Scope>
    /** Takes a slot until the end of the scope, for a turn whose input is there already. */
    readonly acquire: (userId: UserId, options?: SlotOptions) => Effect.Effect<void, Refused, Scope.Scope>
    /** Slots taken, requests waiting (for a slot or for capacity), and users with either. */
    readonly size: Effect.Effect<ReturnType<FairSemaphore["size"]>>
  }
>() {
  static readonly layer = Layer.effect(
    Admission,
    Effect.gen(function* () {
      const { maxTurns, maxTurnsPerUser, turnQueueLength, turnQueueTimeout: timeout } = yield* Settings
      const slots = makeFairSemaphore(
        {
          total: limitOf(maxTurns),
          perUser: limitOf(maxTurnsPerUser),
          queue: {
            total: Duration.toMillis(timeout) === 0 ? 0 : turnQueueLength,
            // A user may have as many turns waiting as running.
            perUser: limitOf(maxTurnsPerUser),
          },
        },
        timeout,
      )
      const retryAfter = retryAfterOf(timeout)

      const refused = (limit: Limit) =>
        limit === "user"
          ? new TooManyTurns({ most: maxTurnsPerUser, retryAfter })
          : new Overloaded({ reason: "turns", retryAfter })

      const acquire = Effect.fn("Admission.acquire")((userId: UserId, { alsoHeldBy }: SlotOptions = {}) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.gen(function* () {
            yield* Effect.mapError(slots.acquire(userId, 1, restore), refused)
            const scope = yield* Effect.scope
            const holders = alsoHeldBy === undefined ? [scope] : [scope, alsoHeldBy]
            let open = holders.length
            const close = Effect.sync(() => {
              open -= 1
              if (open === 0) slots.giveBack(userId, 1)
            })
            yield* Effect.forEach(holders, (holder) => Scope.addFinalizer(holder, close), { discard: true })
          }),
        ),
      )

      const waitForCapacity = Effect.fn("Admission.waitForCapacity")((userId: UserId) =>
        Effect.mapError(slots.waitForCapacity(userId, 1), refused),
      )

      const admit: Admission["Type"]["admit"] = (userId, read, options) =>
        waitForCapacity(userId).pipe(Effect.zipRight(read), Effect.zipLeft(acquire(userId, options)))

      return { admit, acquire, size: Effect.sync(slots.size) }
    }),
  )
}
