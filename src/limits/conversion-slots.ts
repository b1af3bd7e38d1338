import { Context, Duration, Effect, Layer, type Scope } from "effect"
import { hostResources } from "../capacity.ts"
import type { UserId } from "../schema.ts"
import { makeFairSemaphore } from "./fair-semaphore.ts"

/**
 * A conversion lasts as long as the provider sends, and uses the CPU mostly at its start (65 ms). Hence more than for
 * decoding, and slots of their own: a slow provider must not keep recordings from being decoded.
 */
const slotsPerCore = 8
/** Half of the slots stay free for other users. */
const slotsPerCoreAndUser = 4

/**
 * Limits the ffmpeg processes that convert speech at a time. A turn holds one slot at most, and its holder waits for
 * nothing but the provider, so slots cannot deadlock.
 */
export class ConversionSlots extends Context.Tag("voice-agent/ConversionSlots")<
  ConversionSlots,
  {
    /** Takes a slot until the end of the scope. Waits as long as the turn allows. */
    readonly acquire: (userId: UserId) => Effect.Effect<void, never, Scope.Scope>
  }
>() {
  static readonly layer = Layer.sync(ConversionSlots, () => {
    const { cores } = hostResources()
    const slots = makeFairSemaphore(
      {
        total: slotsPerCore * cores,
        perUser: slotsPerCoreAndUser * cores,
        // Everyone here has a turn slot, so the turns bound the queue.
        queue: { total: Number.POSITIVE_INFINITY, perUser: Number.POSITIVE_INFINITY },
      },
      Duration.infinity,
    )
    return {
      acquire: (userId) =>
        Effect.uninterruptibleMask((restore) =>
          // Without a time-out and a limit of the queue, it never fails.
          Effect.zipRight(
            Effect.orDie(slots.acquire(userId, 1, restore)),
            Effect.addFinalizer(() => Effect.sync(() => slots.giveBack(userId, 1))),
          ),
        ),
    }
  })
}
