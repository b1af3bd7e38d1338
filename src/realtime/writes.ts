import { Cause, Deferred, Duration, Effect, FiberId, Mailbox, Schedule, type Scope } from "effect"
import type { NewItem } from "../conversation/item.ts"
import { DatabaseUnavailable } from "../db/errors.ts"
import type { UnsavedItems } from "../turn/request.ts"

/** Writes that may wait for the database. A client that adds more gets an error. */
const maxWaiting = 128

/** How long a write is repeated while the database is away. It is dropped after that, so that the later ones get their turn. */
const retrySchedule = Schedule.spaced("500 millis").pipe(Schedule.upTo("1 minute"))

/** How long a response waits for the writes before it. */
const drainTimeout = Duration.seconds(10)

/** How long the end of a connection waits for its last writes. */
const closeTimeout = Duration.seconds(5)

/** The writes of one connection to its stored session, one after the other. */
export interface Writes {
  /** Adds a write at the end. False: too many wait, so it was not added. A plain function. */
  readonly add: (write: Effect.Effect<void, WriteError>) => boolean
  /**
   * `add` for a write that calls `onEntered` once no later turn can come before it. `item`: what it adds at the end of the
   * conversation; undefined if it changes more than that.
   */
  readonly append: (
    item: NewItem | undefined,
    write: (onEntered: () => void) => Effect.Effect<void, WriteError>,
  ) => boolean
  /**
   * What a response waits for: the writes of now have ended. If the last of them adds an item, its place in the session's
   * queue is enough, and the response takes the item from here. Fails if that takes longer than 10 s. Takes note of the
   * writes when it is called, not when it is run.
   */
  readonly written: () => Effect.Effect<UnsavedItems, DatabaseUnavailable>
}

/** Only `DatabaseUnavailable` is worth another try. */
export interface WriteError {
  readonly _tag: string
}

interface Write {
  readonly item: NewItem | undefined
  readonly run: Effect.Effect<void>
  readonly entered: Deferred.Deferred<void>
  readonly ended: Deferred.Deferred<void>
}

const inTime = Effect.timeoutFail({
  duration: drainTimeout,
  onTimeout: () => new DatabaseUnavailable({ cause: "earlier items are not saved" }),
})

const nothing: UnsavedItems = { items: [], saved: Effect.void }

const end = ({ entered, ended }: Write) => {
  Deferred.unsafeDone(entered, Effect.void)
  Deferred.unsafeDone(ended, Effect.void)
}

export const makeWrites: Effect.Effect<Writes, never, Scope.Scope> = Effect.gen(function* () {
  const added = yield* Mailbox.make<Write>()
  /** Those that have not ended, in order. */
  const waiting = new Set<Write>()
  const worker = yield* Effect.forkDaemon(
    Effect.gen(function* () {
      for (let isDone = false; !isDone; ) {
        const [writes, done] = yield* added.takeAll
        for (const write of writes) {
          yield* write.run
          waiting.delete(write)
          end(write)
        }
        isDone = done
      }
    }),
  )
  yield* Effect.addFinalizer(() =>
    added.end.pipe(
      Effect.zipRight(worker.await),
      Effect.timeoutOption(closeTimeout),
      Effect.interruptible,
      Effect.zipRight(worker.interruptAsFork(worker.id())),
      // The end of a turn waits for them.
      Effect.zipRight(Effect.sync(() => waiting.forEach(end))),
    ),
  )

  const append: Writes["append"] = (item, makeRun) => {
    if (waiting.size >= maxWaiting) return false
    const entered = Deferred.unsafeMake<void>(FiberId.none)
    const run = makeRun(() => Deferred.unsafeDone(entered, Effect.void)).pipe(
      Effect.retry({ schedule: retrySchedule, while: ({ _tag }) => _tag === "DatabaseUnavailable" }),
      Effect.catchAllCause((cause) =>
        Cause.isInterruptedOnly(cause) ? Effect.void : Effect.logWarning("realtime.write_failed", cause),
      ),
    )
    const write = { item, run, entered, ended: Deferred.unsafeMake<void>(FiberId.none) }
    waiting.add(write)
    added.unsafeOffer(write)
    return true
  }

  return {
    append,
    add: (write) => append(undefined, () => write),
    written: () => {
      const last = [...waiting].at(-1)
      if (last === undefined) return Effect.succeed(nothing)
      const saved = inTime(Deferred.await(last.ended))
      if (last.item === undefined) return Effect.as(saved, nothing)
      return Effect.as(inTime(Deferred.await(last.entered)), { items: [last.item], saved })
    },
  }
})
