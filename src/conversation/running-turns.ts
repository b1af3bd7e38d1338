import { Context, Deferred, Duration, Effect, Exit, Fiber, Layer, Option, Schedule, type Scope } from "effect"
import { type DatabaseError, DatabaseUnavailable } from "../db/errors.ts"
import { uninterruptibleWithTimeout } from "../db/postgres.ts"
import { parseId, TurnId, type UserId } from "../schema.ts"
import { KeyedTurns } from "./keyed-turns.ts"
import { Ledger } from "./ledger.ts"
import type { ContinuedWork } from "./rounds.ts"
import {
  type Idempotency,
  IdempotencyKeyReused,
  type NewTurn,
  SessionBusy,
  type StoredTurn,
  TurnCancelled,
  TurnLost,
  TurnNotFound,
} from "./stored-turn.ts"

/** How long a turn waits for those ahead of it in its session. */
const queueTimeout = Duration.seconds(30)

/** How often a turn of another process is checked for its end. */
const pollInterval = Duration.millis(100)

/** How often this process renews the leases of its turns and learns which of them were cancelled through another process. */
const heartbeat = Duration.seconds(1)

/** How long a cancellation waits for the turn's end before it is acknowledged anyway. */
const cancelTimeout = Duration.seconds(5)

/** A turn's entry in the queue of its session, which spans all processes. */
export interface QueueTicket {
  /** Done once no turn ahead runs any more. Waits up to 30 s for that. */
  readonly ready: Effect.Effect<void, SessionBusy | DatabaseError>
  /** Whether the turn entered the queue, so whether it has to be saved or failed: done once that is known. */
  readonly issued: Effect.Effect<boolean>
  /** Lets the next turn of the session run. For a turn whose end is in the ledger. */
  readonly leave: Effect.Effect<void>
}

/** A turn's ticket, or the earlier turn with the same Idempotency-Key. */
export type Claim =
  | {
      readonly _tag: "First"
      readonly ticket: QueueTicket
      /** What an earlier turn with the same key has done, if it was cut off after it had called tools. */
      readonly continued: Option.Option<ContinuedWork>
    }
  | { readonly _tag: "Answered"; readonly turn: StoredTurn }

/** The turns that run in this process. Queues the turns of each session and cancels turns of any process. */
export class RunningTurns extends Context.Tag("voice-agent/RunningTurns")<
  RunningTurns,
  {
    /** Makes a turn known until it leaves its queue or the scope closes. The returned effect fails when it has to end. */
    readonly register: (
      id: TurnId,
    ) => Effect.Effect<Effect.Effect<never, TurnCancelled | DatabaseUnavailable>, never, Scope.Scope>
    /**
     * Puts a registered turn into the queue of its session, where it stays until it is saved or failed. Without an
     * Idempotency-Key this runs in the background. With a key, waits for the end of another turn that has the same.
     */
    readonly claim: (turn: NewTurn) => Effect.Effect<Claim, IdempotencyKeyReused | DatabaseError, Scope.Scope>
    /** `claim` for a turn without an Idempotency-Key. */
    readonly enter: (turn: NewTurn) => Effect.Effect<QueueTicket, never, Scope.Scope>
    /** Puts a speculative turn at the end of its session's queue, and waits for those ahead. None if it runs no more. */
    readonly adopt: (turn: NewTurn) => Effect.Effect<Option.Option<void>, SessionBusy | DatabaseError>
    /** The completed turn of an earlier request with the same key and content. */
    readonly answered: (
      userId: UserId,
      idempotency: Idempotency,
    ) => Effect.Effect<Option.Option<StoredTurn>, DatabaseError>
    /** Cancels a turn of any process and waits up to 5 s for its end. `id` is the text that the client sent. */
    readonly cancel: (userId: UserId, id: string) => Effect.Effect<void, TurnNotFound | DatabaseError>
  }
>() {
  static readonly layer = Layer.scoped(
    RunningTurns,
    Effect.gen(function* () {
      const ledger = yield* Ledger
      const keyed = yield* KeyedTurns
      const running = new Map<
        TurnId,
        {
          readonly ended: Deferred.Deferred<void>
          readonly cancelled: Deferred.Deferred<never, TurnCancelled | DatabaseUnavailable>
        }
      >()

      const end = (id: TurnId, reason: TurnCancelled | DatabaseUnavailable) => {
        const turn = running.get(id)
        return turn === undefined ? Effect.void : Deferred.fail(turn.cancelled, reason)
      }

      /** The turn runs no more, so its lease is not renewed and it cannot be cancelled. May be repeated. */
      const leave = (id: TurnId) =>
        Effect.suspend(() => {
          const turn = running.get(id)
          running.delete(id)
          return turn === undefined ? Effect.void : Deferred.succeed(turn.ended, undefined)
        }).pipe(Effect.asVoid)

      /** Waits until a turn may have ended. A turn of this process signals its end. */
      const untilEnded = (id: TurnId) => {
        const turn = running.get(id)
        return turn === undefined
          ? Effect.sleep(pollInterval)
          : Effect.timeoutOption(Deferred.await(turn.ended), heartbeat)
      }

      yield* Effect.suspend(() =>
        running.size === 0 ? Effect.succeed([]) : ledger.renew([...running.keys()]),
      ).pipe(
        Effect.flatMap((ending) =>
          Effect.forEach(ending, ({ id, isLost }) =>
            end(id, isLost ? new DatabaseUnavailable({ cause: new TurnLost() }) : new TurnCancelled()),
          ),
        ),
        Effect.catchAllCause((cause) => Effect.logWarning("turn.lease_renewal_failed", cause)),
        Effect.repeat(Schedule.spaced(heartbeat)),
        Effect.forkScoped,
      )

      const register = Effect.fn("RunningTurns.register")((id: TurnId) =>
        Effect.acquireRelease(
          Effect.gen(function* () {
            const turn = {
              ended: yield* Deferred.make<void>(),
              cancelled: yield* Deferred.make<never, TurnCancelled | DatabaseUnavailable>(),
            }
            running.set(id, turn)
            return turn
          }),
          () => leave(id),
        ).pipe(Effect.map(({ cancelled }) => Deferred.await(cancelled))),
      )

      const waitFor = ({ session, besides }: NewTurn, position: string) =>
        Effect.gen(function* () {
          let ahead = yield* ledger.ahead(session.id, position, besides)
          while (Option.isSome(ahead)) {
            yield* untilEnded(ahead.value)
            ahead = yield* ledger.ahead(session.id, position, besides)
          }
        }).pipe(Effect.timeoutFail({ duration: queueTimeout, onTimeout: () => new SessionBusy() }))

      // Not interruptible: an opened turn has to be ended, so it must be known whether it was opened.
      const open = (turn: NewTurn) => uninterruptibleWithTimeout(ledger.open(turn))

      const openInBackground = Effect.fnUntraced(function* (turn: NewTurn) {
        const opening = yield* Effect.forkScoped(Effect.flatMap(open(turn), Effect.orDie))
        const ready = Effect.flatMap(Fiber.join(opening), (position) =>
          turn.isAside && !turn.isSpeculative ? Effect.void : waitFor(turn, position),
        )
        return {
          ready,
          issued: Effect.map(Fiber.await(opening), Exit.isSuccess),
          leave: leave(turn.id),
        } satisfies QueueTicket
      })

      const adopt = Effect.fn("RunningTurns.adopt")((turn: NewTurn) =>
        Effect.flatMap(
          ledger.enqueue(turn.id, turn.session.id),
          Effect.transposeMapOption((position) => waitFor(turn, position)),
        ),
      )

      const claimKey = Effect.fnUntraced(function* (turn: NewTurn, { key, contentHash }: Idempotency) {
        const ticketOf = (position: string): QueueTicket => ({
          ready: waitFor(turn, position),
          issued: Effect.succeed(true),
          leave: leave(turn.id),
        })
        for (;;) {
          const position = yield* open(turn)
          if (Option.isSome(position)) {
            return {
              _tag: "First",
              ticket: ticketOf(position.value),
              continued: Option.none(),
            } satisfies Claim
          }
          const other = Option.getOrUndefined(yield* keyed.find(turn.userId, key))
          if (other === undefined) continue
          const isOver = other.isDead || other.state !== "running"
          if (other.isExpired || (other.isDead && !other.hasRounds)) {
            yield* ledger.freeKey(other.id)
            continue
          }
          if (other.contentHash !== contentHash) return yield* new IdempotencyKeyReused()
          if (isOver && other.hasRounds) {
            const taken = yield* uninterruptibleWithTimeout(ledger.takeOver(other.id, turn))
            if (Option.isNone(taken)) continue
            const { position, work } = taken.value
            return { _tag: "First", ticket: ticketOf(position), continued: Option.some(work) } satisfies Claim
          }
          const stored = yield* keyed.stored(other.id)
          if (Option.isSome(stored)) return { _tag: "Answered", turn: stored.value } satisfies Claim
          yield* untilEnded(other.id)
        }
      })

      const answered = Effect.fn("RunningTurns.answered")(function* (
        userId: UserId,
        { key, contentHash }: Idempotency,
      ) {
        const other = yield* keyed.find(userId, key)
        const isSame = Option.exists(other, (turn) => !turn.isExpired && turn.contentHash === contentHash)
        return isSame && Option.isSome(other) ? yield* keyed.stored(other.value.id) : Option.none()
      })

      const claim = Effect.fn("RunningTurns.claim")((turn: NewTurn) =>
        Option.match(turn.idempotency, {
          onNone: () =>
            Effect.map(
              openInBackground(turn),
              (ticket): Claim => ({
                _tag: "First",
                ticket,
                continued: Option.none(),
              }),
            ),
          onSome: (idempotency) => claimKey(turn, idempotency),
        }),
      )

      const cancel = Effect.fn("RunningTurns.cancel")(function* (userId: UserId, text: string) {
        const id = yield* Effect.mapError(parseId(TurnId, text), () => new TurnNotFound())
        const found = yield* ledger.requestCancel(userId, id)
        if (found === "unknown") return yield* new TurnNotFound()
        // A turn that is already saved still sends its response to the end.
        if (found === "running") yield* end(id, new TurnCancelled())
        yield* ledger
          .isRunning(id)
          .pipe(
            Effect.repeat({ while: (isRunning) => isRunning, schedule: Schedule.spaced(pollInterval) }),
            Effect.timeoutOption(cancelTimeout),
          )
      })

      return { register, adopt, answered, claim, enter: openInBackground, cancel }
    }),
  )
}
