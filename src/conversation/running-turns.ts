import {
  Context,
  Deferred,
  Duration,
  Effect,
  Fiber,
  Layer,
  Option,
  Schedule,
  Schema,
  type Scope,
} from "effect"
import { type DatabaseError, DatabaseUnavailable } from "../db/errors.ts"
import { undisturbed } from "../db/postgres.ts"
import { TurnRecords } from "./ledger.ts"
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
const patience = Duration.seconds(30)

/** How soon the end of a turn is seen that another process runs. */
const lookAgain = Duration.millis(100)

/** How often this process says that its turns live, and learns which of them another process was asked to end. */
const beat = Duration.seconds(1)

/** How long a cancelled turn may take to come to its end before its user is told that it will. */
const cancelPatience = Duration.seconds(5)

/** A turn's place among the turns of its session, in whatever process those run. */
export interface Place {
  /** Done once no turn ahead runs any more; a turn waits up to 30 s for that. */
  readonly reached: Effect.Effect<void, SessionBusy | DatabaseError>
  /** Done once it is known whether there is a place to be given back. */
  readonly settled: Effect.Effect<unknown>
}

/** The place of a turn to be taken; or the answer of an earlier one that was asked for with the same Idempotency-Key. */
export type Claim =
  | { readonly _tag: "First"; readonly place: Place }
  | { readonly _tag: "Answered"; readonly turn: StoredTurn }

/** The turns that this process runs, each in its order, and each to be ended from any process. */
export class RunningTurns extends Context.Tag("RunningTurns")<
  RunningTurns,
  {
    /** From here to the end of the scope a turn can be waited for and cancelled; the effect fails once it has to end. */
    readonly register: (
      id: string,
    ) => Effect.Effect<Effect.Effect<never, TurnCancelled | DatabaseUnavailable>, never, Scope.Scope>
    /**
     * Gives a registered turn its place, which it holds until it is saved or has failed; without an Idempotency-Key
     * that is done meanwhile. With one the turn waits for the end of another that has the same.
     */
    readonly claim: (turn: NewTurn) => Effect.Effect<Claim, IdempotencyKeyReused | DatabaseError, Scope.Scope>
    /** The answer of a completed turn that was asked for with the same key and recording. */
    readonly answered: (
      userId: string,
      idempotency: Idempotency,
    ) => Effect.Effect<Option.Option<StoredTurn>, DatabaseError>
    /** Ends a user's turn, whichever process runs it; done when it has ended. */
    readonly cancel: (userId: string, id: string) => Effect.Effect<void, TurnNotFound | DatabaseError>
  }
>() {
  static readonly layer = Layer.scoped(
    RunningTurns,
    Effect.gen(function* () {
      const records = yield* TurnRecords
      const running = new Map<
        string,
        {
          readonly ended: Deferred.Deferred<void>
          readonly doomed: Deferred.Deferred<never, TurnCancelled | DatabaseUnavailable>
        }
      >()

      const end = (id: string, reason: TurnCancelled | DatabaseUnavailable) => {
        const turn = running.get(id)
        return turn === undefined ? Effect.void : Deferred.fail(turn.doomed, reason)
      }

      /** A turn of this process says itself when it has ended, which may be a while after it was saved. */
      const untilEnded = (id: string) => {
        const turn = running.get(id)
        return turn === undefined
          ? Effect.sleep(lookAgain)
          : Effect.timeoutOption(Deferred.await(turn.ended), beat)
      }

      yield* Effect.suspend(() =>
        running.size === 0 ? Effect.succeed([]) : records.renew([...running.keys()]),
      ).pipe(
        Effect.flatMap((doomed) =>
          Effect.forEach(doomed, ({ id, isLost }) =>
            end(id, isLost ? new DatabaseUnavailable({ cause: new TurnLost() }) : new TurnCancelled()),
          ),
        ),
        Effect.catchAllCause((cause) => Effect.logWarning("turn.lease_renewal_failed", cause)),
        Effect.repeat(Schedule.spaced(beat)),
        Effect.forkScoped,
      )

      const register = Effect.fn("RunningTurns.register")((id: string) =>
        Effect.acquireRelease(
          Effect.gen(function* () {
            const turn = {
              ended: yield* Deferred.make<void>(),
              doomed: yield* Deferred.make<never, TurnCancelled | DatabaseUnavailable>(),
            }
            running.set(id, turn)
            return turn
          }),
          ({ ended }) => {
            running.delete(id)
            return Deferred.succeed(ended, undefined)
          },
        ).pipe(Effect.map(({ doomed }) => Deferred.await(doomed))),
      )

      const waitFor = (sessionId: string, place: string) =>
        Effect.gen(function* () {
          let ahead = yield* records.ahead(sessionId, place)
          while (Option.isSome(ahead)) {
            yield* untilEnded(ahead.value)
            ahead = yield* records.ahead(sessionId, place)
          }
        }).pipe(Effect.timeoutFail({ duration: patience, onTimeout: () => new SessionBusy() }))

      // What is begun here has to be ended: it must not be unknown whether it was begun.
      const enter = (turn: NewTurn) => undisturbed(records.open(turn))

      const enterMeanwhile = Effect.fnUntraced(function* (turn: NewTurn) {
        const entering = yield* Effect.forkScoped(Effect.flatMap(enter(turn), Effect.orDie))
        const reached = Effect.flatMap(Fiber.join(entering), (place) => waitFor(turn.session.id, place))
        return { reached, settled: Fiber.await(entering) } satisfies Place
      })

      const claimKey = Effect.fnUntraced(function* (turn: NewTurn, { key, contentHash }: Idempotency) {
        for (;;) {
          const place = yield* enter(turn)
          if (Option.isSome(place)) {
            const reached = waitFor(turn.session.id, place.value)
            return { _tag: "First", place: { reached, settled: Effect.void } } satisfies Claim
          }
          const other = Option.getOrUndefined(yield* records.keyed(turn.userId, key))
          if (other === undefined) continue
          if (other.isDead || other.isExpired) {
            yield* records.freeKey(other.id)
            continue
          }
          if (other.contentHash !== contentHash) return yield* new IdempotencyKeyReused()
          const answer = yield* records.stored(other.id)
          if (Option.isSome(answer)) return { _tag: "Answered", turn: answer.value } satisfies Claim
          yield* untilEnded(other.id)
        }
      })

      const answered = Effect.fn("RunningTurns.answered")(function* (
        userId: string,
        { key, contentHash }: Idempotency,
      ) {
        const other = yield* records.keyed(userId, key)
        const isSame = Option.exists(other, (turn) => !turn.isExpired && turn.contentHash === contentHash)
        return isSame && Option.isSome(other) ? yield* records.stored(other.value.id) : Option.none()
      })

      const claim = Effect.fn("RunningTurns.claim")((turn: NewTurn) =>
        Option.match(turn.idempotency, {
          onNone: () => Effect.map(enterMeanwhile(turn), (place): Claim => ({ _tag: "First", place })),
          onSome: (idempotency) => claimKey(turn, idempotency),
        }),
      )

      const cancel = Effect.fn("RunningTurns.cancel")(function* (userId: string, id: string) {
        const found = Schema.is(Schema.UUID)(id) ? yield* records.requestCancel(userId, id) : "unknown"
        if (found === "unknown") return yield* new TurnNotFound()
        // What was saved meanwhile is answered to its end.
        if (found === "running") yield* end(id.toLowerCase(), new TurnCancelled())
        yield* records
          .isRunning(id)
          .pipe(
            Effect.repeat({ while: (isRunning) => isRunning, schedule: Schedule.spaced(lookAgain) }),
            Effect.timeoutOption(cancelPatience),
          )
      })

      return { register, answered, claim, cancel }
    }),
  )
}
