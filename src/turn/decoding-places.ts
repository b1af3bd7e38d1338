import { type Duration, Effect } from "effect"
import { thisMachine } from "../capacity.ts"
import { Overloaded } from "../limits/admission.ts"
import { makePlaces } from "../limits/fair-semaphore.ts"

/** ffmpegs at a time for each core: more would all end late, fewer would let a few slow files hold up everyone. */
const perCore = 4
/** Of one user: half of them are left to all others. */
const perCoreAndUser = 2

export type InDecodingPlace = <A, E>(
  userId: string,
  effect: Effect.Effect<A, E>,
) => Effect.Effect<A, E | Overloaded>

export const makeDecodingPlaces = (timeout: Duration.Duration): InDecodingPlace => {
  const { cores } = thisMachine()
  const places = makePlaces(
    {
      all: perCore * cores,
      perUser: perCoreAndUser * cores,
      waiting: Number.POSITIVE_INFINITY,
      waitingPerUser: Number.POSITIVE_INFINITY,
    },
    timeout,
  )
  return (userId, effect) =>
    Effect.flatten(
      Effect.mapError(
        places.within(userId, Effect.either(effect)),
        () => new Overloaded({ reason: "decoding", retryAfter: 1 }),
      ),
    )
}
