import { statfsSync } from "node:fs"
import { tmpdir } from "node:os"
import { Context, Effect, Layer, Option, type Scope } from "effect"
import { Settings } from "../config.ts"
import { Overloaded, retryAfterOf, unbounded } from "./admission.ts"
import { makeShares } from "./fair-budget.ts"

/** What the recordings of one turn take of the disk; given back at the end of the scope that it was opened in. */
export interface Room {
  /** Whether so many bytes more may be written; nothing is kept of it. */
  readonly has: (bytes: number) => boolean
  /** Called before so many bytes more are written: false where they may not be. */
  readonly take: (bytes: number) => boolean
  /** What is told where they may not. */
  readonly refusal: Overloaded
}

/** Of the free space at start: others write there as well, other processes of the service among them. */
const partOfFree = 1 / 2

/** In bytes: one user alone gets a half, in which the largest recording has to fit. */
export const leastSpace = (maxAudioBytes: number) => 2 * maxAudioBytes

/** In bytes. A folder that can't be looked at stops the start elsewhere. */
const halfOfFree = Effect.sync(() => {
  const { bavail, bsize } = statfsSync(tmpdir())
  return Math.floor(bavail * bsize * partOfFree)
})

/**
 * Recordings on their way: how many arrive at a time, and what they take of the disk until their turns are over. Both
 * are shared among users. Neither has to do with places for turns: one that arrives slowly holds no such place.
 */
export class Uploads extends Context.Tag("Uploads")<
  Uploads,
  {
    /** A recording of the user arrives until the end of the scope. */
    readonly arrive: (userId: string) => Effect.Effect<void, Overloaded, Scope.Scope>
    /** Room for what is written of it, until the end of the scope. */
    readonly room: (userId: string) => Effect.Effect<Room, never, Scope.Scope>
    /** How many arrive, and how many bytes are taken. */
    readonly size: Effect.Effect<{ readonly arriving: number; readonly bytes: number }>
  }
>() {
  static readonly layer = Layer.effect(
    Uploads,
    Effect.gen(function* () {
      const { maxUploads, maxAudioBytes, uploadSpace, turnQueuePatience } = yield* Settings
      const arriving = makeShares(unbounded(maxUploads))
      const bytes = yield* Option.match(uploadSpace, {
        onNone: () => halfOfFree,
        onSome: (most) => Effect.succeed(unbounded(most)),
      })
      if (bytes < leastSpace(maxAudioBytes)) {
        yield* Effect.annotateLogs(Effect.logWarning("upload.space_low"), { bytes })
      }
      const space = makeShares(bytes)
      const retryAfter = retryAfterOf(turnQueuePatience)
      const tooMany = new Overloaded({ reason: "uploads", retryAfter })
      const noRoom = new Overloaded({ reason: "upload space", retryAfter })

      const arrive = (userId: string) =>
        Effect.acquireRelease(
          Effect.suspend(() => (arriving.take(userId, 1) ? Effect.void : tooMany)),
          () => Effect.sync(() => arriving.giveBack(userId, 1)),
        )

      const room = (userId: string) =>
        Effect.gen(function* () {
          let taken = 0
          let isOpen = true
          yield* Effect.addFinalizer(() =>
            Effect.sync(() => {
              isOpen = false
              space.giveBack(userId, taken)
            }),
          )
          const opened: Room = {
            has: (bytes) => space.has(userId, bytes),
            take: (bytes) => {
              if (!isOpen || !space.take(userId, bytes)) return false
              taken += bytes
              return true
            },
            refusal: noRoom,
          }
          return opened
        })

      const size = Effect.sync(() => ({
        arriving: arriving.size().taken,
        bytes: space.size().taken,
      }))
      return { arrive, room, size }
    }),
  )
}
