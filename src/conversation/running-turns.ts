import { Context, Deferred, Duration, Effect, Exit, Fiber, Layer, Option, Schedule, type Scope } from "effect"
import { type DatabaseError, DatabaseUnavailable } from "../db/errors.ts"
import { uninterruptibleWithTimeout } from "../db/postgres.ts"
import { parseId, SessionId, TurnId, type UserId } from "../schema.ts"
import { watchWhile } from "../watch.ts"
import { KeyedTurns } from "./keyed-turns.ts"
import { Ledger } from "./ledger.ts"
import { SessionNotFound } from "./model.ts"
import type { ContinuedWork } from "./rounds.ts"
import {
  type EndingTurn,
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
  /** Done once no turn ahead runs any more. Waits up to 30 s for that. Fails if the session was deleted before. */
  readonly ready: Effect.Effect<void, SessionBusy | SessionNotFound | DatabaseError>
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

/** Why a turn has to end early. */
type EndReason = TurnCancelled | SessionNotFound | DatabaseUnavailable

const reasons: { readonly [reason in EndingTurn["reason"]]: () => EndReason } = {
  cancelled: () => new TurnCancelled(),
  deleted: () => new SessionNotFound(),
  lost: () => new DatabaseUnavailable({ cause: new TurnLost() }),
}

interface Registered {
  readonly ended: Deferred.Deferred<void>
  readonly endsEarly: Deferred.Deferred<never, EndReason>
  /** Undefined until the turn is in the queue of its session. */
  sessionId: SessionId | undefined
}

/** The turns that run in this process. Queues the turns of each session and cancels turns of any process. */
export class RunningTurns extends Context.Tag("voice-agent/RunningTurns")<
  RunningTurns,
  {
    /** Makes a turn known until it leaves its queue or the scope closes. The returned effect fails when it has to end. */
    readonly register: (id: TurnId) => Effect.Effect<Effect.Effect<never, EndReason>, never, Scope.Scope>
    /**
     * Puts a registered turn into the queue of its session, where it stays until it is saved or failed. Without an
     * Idempotency-Key this runs in the background. With a key, waits for the end of another turn that has the same.
     */
    readonly claim: (
      turn: NewTurn,
    ) => Effect.Effect<Claim, IdempotencyKeyReused | SessionNotFound | DatabaseError, Scope.Scope>
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
    /** Ends the turns of a deleted session at once. Those of other processes end within a second. */
    readonly endDeleted: (sessionId: string) => Effect.Effect<void>
  }
>() {
  static readonly layer = Layer.scoped(
    RunningTurns,
    Effect.gen(function* () {
      const ledger = yield* Ledger
      const keyed = yield* KeyedTurns
      const running = new Map<TurnId, Registered>()

      const end = ({ id, reason }: EndingTurn) => {
        const turn = running.get(id)
        return turn === undefined ? Effect.void : Deferred.fail(turn.endsEarly, reasons[reason]())
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

      const queued = () =>
        [...running].flatMap(([id, { sessionId }]) => (sessionId === undefined ? [] : [id]))

      const watchTurns = yield* watchWhile(
        () => running.size > 0,
        () => heartbeat,
        Effect.suspend(() => {
          const ids = queued()
          return ids.length === 0 ? Effect.succeed([]) : ledger.renew(ids)
        }).pipe(
          Effect.flatMap((ending) => Effect.forEach(ending, end)),
          Effect.catchAllCause((cause) => Effect.logWarning("turn.lease_renewal_failed", cause)),
        ),
      )

      const register = Effect.fn("RunningTurns.register")((id: TurnId) =>
        Effect.acquireRelease(
          Effect.gen(function* () {
            const turn: Registered = {
              ended: yield* Deferred.make<void>(),
              endsEarly: yield* Deferred.make<never, EndReason>(),
              sessionId: undefined,
            }
            running.set(id, turn)
            watchTurns()
            return turn
          }),
          () => leave(id),
        ).pipe(Effect.map(({ endsEarly }) => Deferred.await(endsEarly))),
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
      const open = (turn: NewTurn) =>
        Effect.tap(uninterruptibleWithTimeout(ledger.open(turn)), (position) =>
          Effect.sync(() => {
            const registered = running.get(turn.id)
            if (registered !== undefined && Option.isSome(position)) registered.sessionId = turn.session.id
          }),
        )

      const openInBackground = Effect.fnUntraced(function* (turn: NewTurn) {
        // None would need an Idempotency-Key.
        const opening = yield* Effect.forkScoped(
          Effect.flatMap(
            open(turn),
            Option.match({
              onNone: () => Effect.dieMessage("no place in the queue"),
              onSome: Effect.succeed,
            }),
          ),
        )
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
            const taken = yield* uninterruptibleWithTimeout(ledger.continueTurn(other.id, turn))
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
        if (found === "running") yield* end({ id, reason: "cancelled" })
        yield* ledger
          .isRunning(id)
          .pipe(
            Effect.repeat({ while: (isRunning) => isRunning, schedule: Schedule.spaced(pollInterval) }),
            Effect.timeoutOption(cancelTimeout),
          )
      })

      const endDeleted = Effect.fn("RunningTurns.endDeleted")((text: string) =>
        Option.match(parseId(SessionId, text), {
          onNone: () => Effect.void,
          onSome: (deleted) =>
            Effect.forEach(
              [...running].filter(([, { sessionId }]) => sessionId === deleted),
              ([id]) => end({ id, reason: "deleted" }),
              { discard: true },
            ),
        }),
      )

      return { register, adopt, answered, claim, enter: openInBackground, cancel, endDeleted }
    }),
  )
}
