import { Cause, Deferred, Duration, Effect, Mailbox, Schedule, type Scope } from "effect"
import { DatabaseUnavailable } from "../db/errors.ts"

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
  /** Done once the writes that were added before have ended. Fails if that takes longer than 10 s. */
  readonly drained: Effect.Effect<void, DatabaseUnavailable>
}

/** Only `DatabaseUnavailable` is worth another try. */
export interface WriteError {
  readonly _tag: string
}

export const makeWrites: Effect.Effect<Writes, never, Scope.Scope> = Effect.gen(function* () {
  const waiting = yield* Mailbox.make<Effect.Effect<void>>()
  let size = 0
  const worker = yield* Effect.forkDaemon(
    Effect.gen(function* () {
      for (let isDone = false; !isDone; ) {
        const [writes, done] = yield* waiting.takeAll
        for (const write of writes) {
          yield* write
          size -= 1
        }
        isDone = done
      }
    }),
  )
  yield* Effect.addFinalizer(() =>
    waiting.end.pipe(
      Effect.zipRight(worker.await),
      Effect.timeoutOption(closeTimeout),
      Effect.interruptible,
      Effect.zipRight(worker.interruptAsFork(worker.id())),
    ),
  )

  const offer = (write: Effect.Effect<void>) => {
    size += 1
    waiting.unsafeOffer(write)
  }

  return {
    add: (write) => {
      if (size >= maxWaiting) return false
      offer(
        write.pipe(
          Effect.retry({ schedule: retrySchedule, while: ({ _tag }) => _tag === "DatabaseUnavailable" }),
          Effect.catchAllCause((cause) =>
            Cause.isInterruptedOnly(cause) ? Effect.void : Effect.logWarning("realtime.write_failed", cause),
          ),
        ),
      )
      return true
    },
    drained: Effect.gen(function* () {
      if (size === 0) return
      const done = yield* Deferred.make<void>()
      offer(Effect.asVoid(Deferred.succeed(done, undefined)))
      yield* Deferred.await(done)
    }).pipe(
      Effect.timeoutFail({
        duration: drainTimeout,
        onTimeout: () => new DatabaseUnavailable({ cause: "earlier items are not saved" }),
      }),
    ),
  }
})
