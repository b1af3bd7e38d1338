import { statfsSync } from "node:fs"
import { tmpdir } from "node:os"
import { Context, Duration, Effect, Layer, Option, type Scope } from "effect"
import { Settings } from "../config.ts"
import type { UserId } from "../schema.ts"
import { limitOf, Overloaded, retryAfterOf } from "./admission.ts"
import { makeFairSemaphore } from "./fair-semaphore.ts"

/** The disk space that the recordings of one turn take; given back at the end of the scope. */
export interface DiskQuota {
  /** Whether so many more bytes may be written. Reserves nothing. */
  readonly canTake: (bytes: number) => boolean
  /** Call before writing so many more bytes. False: they may not be written, for the reason `refusal`. */
  readonly take: (bytes: number) => boolean
  readonly refusal: Overloaded
}

/** Others write to the same disk, other processes of this service among them. */
const shareOfFreeSpace = 1 / 2

/** Bytes. A user alone gets half of the space, and the largest recording has to fit into it. */
export const leastSpace = (maxAudioBytes: number) => 2 * maxAudioBytes

/** Bytes. Without a temporary folder the service does not get this far. */
const defaultSpace = Effect.sync(() => {
  const { bavail, bsize } = statfsSync(tmpdir())
  return Math.floor(bavail * bsize * shareOfFreeSpace)
})

/** Shares `total` permits among users, without waiting. */
const makeShares = (total: number) =>
  makeFairSemaphore({ total, perUser: "dynamic", queue: { total: 0, perUser: 0 } }, Duration.zero)

/**
 * Limits the uploads that arrive at a time, and the disk space that recordings take until their turns are over. Users
 * share both fairly. An upload holds no turn slot, so a slow one keeps nobody from starting a turn.
 */
export class Uploads extends Context.Tag("voice-agent/Uploads")<
  Uploads,
  {
    /** Counts an upload as arriving until the end of the scope. */
    readonly arrive: (userId: UserId) => Effect.Effect<void, Overloaded, Scope.Scope>
    /** Disk space for what is written until the end of the scope. */
    readonly openQuota: (userId: UserId) => Effect.Effect<DiskQuota, never, Scope.Scope>
    /** Uploads that arrive, and bytes on the disk. */
    readonly size: Effect.Effect<{ readonly arriving: number; readonly bytes: number }>
  }
>() {
  static readonly layer = Layer.effect(
    Uploads,
    Effect.gen(function* () {
      const { maxUploads, maxAudioBytes, uploadSpace, turnQueueTimeout } = yield* Settings
      const arriving = makeShares(limitOf(maxUploads))
      const bytes = yield* Option.match(uploadSpace, {
        onNone: () => defaultSpace,
        onSome: (most) => Effect.succeed(limitOf(most)),
      })
      if (bytes < leastSpace(maxAudioBytes)) {
        yield* Effect.annotateLogs(Effect.logWarning("upload.space_low"), { bytes })
      }
      const space = makeShares(bytes)
      const retryAfter = retryAfterOf(turnQueueTimeout)
      const tooMany = new Overloaded({ reason: "uploads", retryAfter })
      const noSpace = new Overloaded({ reason: "upload space", retryAfter })

      const arrive = (userId: UserId) =>
        Effect.acquireRelease(
          Effect.suspend(() => (arriving.tryTake(userId, 1) ? Effect.void : tooMany)),
          () => Effect.sync(() => arriving.giveBack(userId, 1)),
        )

      const openQuota = Effect.fnUntraced(function* (userId: UserId) {
        let taken = 0
        let isOpen = true
        yield* Effect.addFinalizer(() =>
          Effect.sync(() => {
            isOpen = false
            space.giveBack(userId, taken)
          }),
        )
        const quota: DiskQuota = {
          canTake: (count) => space.canTake(userId, count),
          take: (count) => {
            if (!isOpen || !space.tryTake(userId, count)) return false
            taken += count
            return true
          },
          refusal: noSpace,
        }
        return quota
      })

      const size = Effect.sync(() => ({ arriving: arriving.size().taken, bytes: space.size().taken }))
      return { arrive, openQuota, size }
    }),
  )
}
