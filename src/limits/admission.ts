import { Context, Duration, Effect, Layer, Schema, type Scope } from "effect"
import { Settings } from "../config.ts"
import type { Obstacle } from "./fair-queue.ts"
import { makePlaces, type Places } from "./fair-semaphore.ts"

/** There is no room for what was asked, and in the time that it waited none came free. */
export class Overloaded extends Schema.TaggedError<Overloaded>()("Overloaded", {
  /** Of what, for the log. */
  reason: Schema.Literal("turns", "uploads", "upload space", "decoding", "memory"),
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

/** Of a setting. */
export const unbounded = (most: number) => (most === 0 ? Number.POSITIVE_INFINITY : most)

/** Seconds after which it is worth another try: as long as it would have waited. */
export const retryAfterOf = (patience: Duration.Duration) =>
  Math.max(1, Math.ceil(Duration.toSeconds(patience)))

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
    readonly size: Places["size"]
  }
>() {
  static readonly layer = Layer.effect(
    Admission,
    Effect.gen(function* () {
      const { maxTurns, maxTurnsPerUser, turnQueueLength, turnQueuePatience } = yield* Settings
      const places = makePlaces(
        {
          all: unbounded(maxTurns),
          perUser: unbounded(maxTurnsPerUser),
          waiting: Duration.toMillis(turnQueuePatience) === 0 ? 0 : turnQueueLength,
          // As many may wait as may be in hand.
          waitingPerUser: unbounded(maxTurnsPerUser),
        },
        turnQueuePatience,
      )
      const retryAfter = retryAfterOf(turnQueuePatience)

      const refusal = (obstacle: Obstacle) =>
        obstacle === "own"
          ? new TooManyTurns({ most: maxTurnsPerUser, retryAfter })
          : new Overloaded({ reason: "turns", retryAfter })

      const enter = Effect.fn("Admission.enter")((userId: string) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.gen(function* () {
            yield* Effect.mapError(places.enter(userId, restore), refusal)
            let holders = 0
            const hold = Effect.acquireRelease(
              Effect.sync(() => {
                holders += 1
              }),
              () =>
                Effect.suspend(() => {
                  holders -= 1
                  return holders === 0 ? places.leave(userId) : Effect.void
                }),
            )
            yield* hold
            return { keep: Effect.suspend(() => (holders === 0 ? Effect.interrupt : hold)) }
          }),
        ),
      )

      const knock = Effect.fn("Admission.knock")((userId: string) =>
        Effect.mapError(places.knock(userId), refusal),
      )

      return { enter, knock, size: places.size }
    }),
  )
}
