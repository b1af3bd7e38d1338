import { Cause, Deferred, Duration, Effect, FiberId, FiberSet, Mailbox, Schedule, type Scope } from "effect"
import type { NewItem } from "../conversation/item.ts"
import { DatabaseUnavailable } from "../db/errors.ts"
import type { UnsavedItems } from "../turn/request.ts"

/** Writes that may wait for the database before no more items of the client are taken. */
const maxWaiting = 128

/** How long a write is repeated while the database is away. It is dropped after that, so that the later ones get their turn. */
const retrySchedule = Schedule.spaced("500 millis").pipe(Schedule.upTo("1 minute"))

/** How long a response waits for the writes before it. */
const drainTimeout = Duration.seconds(10)

/** How long the end of a connection waits for its last writes. */
const closeTimeout = Duration.seconds(5)

/** How long the writes go on after that, while nobody waits for them. */
const lingerTimeout = Duration.minutes(1)

/** The writes of one connection to its stored session, one after the other. */
export interface Writes {
  /** True: too many wait. A client's items are refused then; what was said and heard is written. */
  readonly isFull: () => boolean
  /** Adds a write at the end. A plain function. */
  readonly add: (write: Effect.Effect<void, WriteError>) => void
  /**
   * `add` for a write that calls `onEntered` once no later turn can come before it. `item`: what it adds at the end of the
   * conversation; undefined if it changes more than that.
   */
  readonly append: (
    item: NewItem | undefined,
    write: (onEntered: () => void) => Effect.Effect<void, WriteError>,
  ) => void
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

/** Runs an effect that outlives its connection. */
export type Linger = (effect: Effect.Effect<void>) => Effect.Effect<void>

/** For writes that outlive their connections. The end of the scope waits for them as long as for those of a connection. */
export const makeLinger: Effect.Effect<Linger, never, Scope.Scope> = Effect.gen(function* () {
  const lingering = yield* FiberSet.make<void>()
  yield* Effect.addFinalizer(() =>
    FiberSet.awaitEmpty(lingering).pipe(Effect.timeoutOption(closeTimeout), Effect.interruptible),
  )
  return (effect) => Effect.asVoid(FiberSet.run(lingering, Effect.interruptible(effect)))
})

/** The end of the scope waits for the writes up to 5 s. Those that are left go on in `linger`. */
export const makeWrites = Effect.fnUntraced(function* (
  linger: Linger,
): Effect.fn.Return<Writes, never, Scope.Scope> {
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
  const drop = Effect.suspend(() => {
    const count = waiting.size
    // The end of a turn waits for them.
    waiting.forEach(end)
    return count === 0
      ? Effect.void
      : Effect.annotateLogs(Effect.logWarning("realtime.writes_dropped"), { count })
  })
  const rest = worker.await.pipe(
    Effect.timeoutOption(lingerTimeout),
    Effect.ensuring(Effect.zipRight(worker.interruptAsFork(worker.id()), drop)),
    Effect.asVoid,
  )
  yield* Effect.addFinalizer(() =>
    added.end.pipe(
      Effect.zipRight(worker.await),
      Effect.timeoutOption(closeTimeout),
      Effect.interruptible,
      Effect.zipRight(Effect.suspend(() => (waiting.size === 0 ? Effect.void : linger(rest)))),
    ),
  )

  const append: Writes["append"] = (item, makeRun) => {
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
  }

  return {
    isFull: () => waiting.size >= maxWaiting,
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
