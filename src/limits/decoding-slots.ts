import { Context, Effect, Layer } from "effect"
import { hostResources } from "../capacity.ts"
import { Settings } from "../config.ts"
import type { UserId } from "../schema.ts"
import { Overloaded } from "./admission.ts"
import { makeFairSemaphore } from "./fair-semaphore.ts"

/**
 * Decoding takes CPU and nothing else. More decodings at once would all end late; fewer would let a handful of files
 * made to be slow delay everyone.
 */
const slotsPerCore = 4
/** Enough for one user to keep the CPU busy, and half of the slots stay free for the others. */
const slotsPerCoreAndUser = 2

/** Nothing tells how long the running decodings will take. */
const noSlot = new Overloaded({ reason: "decoding", retryAfter: 1 })

/** Limits the ffmpeg processes that work at a time. */
export class DecodingSlots extends Context.Tag("voice-agent/DecodingSlots")<
  DecodingSlots,
  {
    /** Runs the effect in a slot. Fails with Overloaded if none becomes free within TURN_TIMEOUT_SECONDS. */
    readonly withSlot: <A, E, R>(
      userId: UserId,
      effect: Effect.Effect<A, E, R>,
    ) => Effect.Effect<A, E | Overloaded, R>
  }
>() {
  static readonly layer = Layer.effect(
    DecodingSlots,
    Effect.gen(function* () {
      const { turnTimeout } = yield* Settings
      const { cores } = hostResources()
      const slots = makeFairSemaphore(
        {
          total: slotsPerCore * cores,
          perUser: slotsPerCoreAndUser * cores,
          // Everyone here has a turn slot, so the turns bound the queue.
          queue: { total: Number.POSITIVE_INFINITY, perUser: Number.POSITIVE_INFINITY },
        },
        turnTimeout,
      )
      return { withSlot: (userId, effect) => slots.withPermits(userId, 1, effect, () => noSlot) }
    }),
  )
}
