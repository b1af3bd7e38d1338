import { Duration, Effect, Exit, Fiber, FiberSet, Option, Schedule } from "effect"
import { Ledger } from "../conversation/ledger.ts"
import type { TurnEnd } from "../conversation/stored-turn.ts"
import type { DatabaseError } from "../db/errors.ts"
import { uninterruptibleWithTimeout } from "../db/postgres.ts"
import type { TurnError } from "./errors.ts"
import { type HeardUpTo, heardMessages, wholeMessages } from "./heard-reply.ts"
import type { TurnLog } from "./log.ts"
import type { RunningTurn } from "./pipeline.ts"
import {
  cutMessages,
  type EarlyEnding,
  heardPartOf,
  messageIdOf,
  saveCutShort,
  type TurnFailure,
} from "./saving.ts"

/** How long a failed response waits until the turn's end is saved, so that an immediate retry does not find it running. */
const finalizeTimeout = Duration.seconds(2)

/** Retries of a turn's finalization while the database is unavailable. After them the hourly clean-up ends the turn. */
const finalizeSchedule = Schedule.spaced("500 millis").pipe(Schedule.upTo("1 minute"))

/** How long a shutdown waits for the finalization of turns. */
const stopTimeout = Duration.seconds(5)

/** Saves the ends of turns that did not complete, in fibers that may outlive the turns' scopes. */
export const makeFinalization = Effect.gen(function* () {
  const ledger = yield* Ledger
  const finalizing = yield* FiberSet.make()
  yield* Effect.addFinalizer(() =>
    FiberSet.awaitEmpty(finalizing).pipe(Effect.timeoutOption(stopTimeout), Effect.interruptible),
  )

  /** Runs `end`, which saves the end of a turn, in a fiber that may outlive the turn's scope. Some if it is saved. */
  const finalizeInBackground = (end: Effect.Effect<TurnEnd, TurnError>) =>
    end.pipe(
      Effect.retry({ schedule: finalizeSchedule, while: ({ _tag }) => _tag === "DatabaseUnavailable" }),
      Effect.asSome,
      Effect.catchAllCause((cause) =>
        Effect.as(Effect.logWarning("turn.finalize_failed", cause), Option.none<TurnEnd>()),
      ),
      Effect.interruptible,
      FiberSet.run(finalizing),
    )

  /** Turns whose saved reply was changed after the save. */
  const changed = new WeakSet<TurnLog>()

  /** Sets the saved reply of a turn to the part that the client heard. `isComplete`: the model ended the reply. */
  const setHeard = (turn: RunningTurn, upTo: HeardUpTo, isComplete: boolean) =>
    Effect.suspend(() => {
      const { request, isAside, log } = turn
      const state = log.state()
      const heard = isComplete ? heardMessages(state, upTo) : cutMessages(state, upTo)
      if (isAside || (heard.every(({ isWhole }) => isWhole) && !changed.has(log))) return Effect.void
      changed.add(log)
      const whole = wholeMessages(state)
      return Effect.forEach(heard, (message, at) => {
        const part = heardPartOf(state, (message.isWhole && whole[at]) || message, !message.isWhole)
        // The session may be deleted by now, and its items with it.
        return Effect.catchTag(
          ledger.truncate(request.userId, messageIdOf(turn, message.round), part),
          "ItemNotFound",
          () => Effect.void,
        )
      })
    }).pipe(Effect.asVoid)

  /** Saves a turn that did not complete, in the background. `onCompleted`: it is saved as completed after all. */
  const finalize = (
    turn: RunningTurn,
    upTo: HeardUpTo,
    ending: EarlyEnding,
    onCompleted: Effect.Effect<void, DatabaseError>,
    failure: TurnFailure = {},
  ) =>
    finalizeInBackground(
      turn.ticket.issued.pipe(
        Effect.zipRight(turn.standing.saved),
        Effect.zipRight(
          Effect.suspend(() =>
            turn.standing.isSpeculative()
              ? ledger.fail({
                  id: turn.request.turnId,
                  timings: {},
                  ...turn.log.state().consumed,
                  payer: turn.payer,
                })
              : saveCutShort(ledger, turn, turn.log.state(), upTo, ending, failure),
          ),
        ),
        Effect.tap((end) => (end === "completed" ? onCompleted : Effect.void)),
        Effect.zipLeft(turn.ticket.leave),
      ),
    )

  /** True if the turn is saved in time. */
  const awaitFinalized = (saving: Fiber.Fiber<Option.Option<TurnEnd>>) =>
    uninterruptibleWithTimeout(Effect.timeoutOption(Fiber.await(saving), finalizeTimeout)).pipe(
      Effect.map(Option.exists((exit) => Exit.isSuccess(exit) && Option.isSome(exit.value))),
    )

  return { finalizeInBackground, setHeard, finalize, awaitFinalized }
})
