import {
  Cause,
  Context,
  Duration,
  Effect,
  Exit,
  Fiber,
  FiberSet,
  Layer,
  Mailbox,
  Option,
  Schedule,
  Stream,
} from "effect"
import { Ledger } from "../conversation/ledger.ts"
import { type QueueTicket, RunningTurns } from "../conversation/running-turns.ts"
import { Sessions } from "../conversation/sessions.ts"
import type { StoredTurn } from "../conversation/stored-turn.ts"
import { undisturbed } from "../db/postgres.ts"
import { Ffmpeg } from "../ffmpeg/ffmpeg.ts"
import { sha256 } from "../hash.ts"
import { DecodingSlots } from "../limits/decoding-slots.ts"
import { countTurn } from "../metrics.ts"
import type { TurnError } from "./errors.ts"
import { Saying, type TurnEvent, type TurnInput, Whereto } from "./model.ts"
import { settle } from "./persist.ts"
import { replay } from "./replay.ts"
import { makeStopwatch } from "./stopwatch.ts"
import { type Begun, makeTakeTurn, type Passing } from "./take-turn.ts"
import { makeTally } from "./tally.ts"

/** How long an answer that failed waits for its turn's end to be noted, so that who asks again at once finds it over. */
const settlePatience = Duration.seconds(2)

/** While the database is away that is tried again, by itself. Later on the hourly clean-up does it. */
const settleAgain = Schedule.spaced("500 millis").pipe(Schedule.upTo("1 minute"))

/** How long the service's own stop waits for it. */
const stopPatience = Duration.seconds(5)

/** Events that wait for a slow listener; past these the turn waits too. */
const eventsAhead = 16

/** Of what was said: a text that is answered aloud is another request than one that is not. */
const hashOf = ({ saying, listening }: TurnInput) =>
  Saying.$match(saying, {
    Recording: ({ upload }) => upload.sha256,
    Text: ({ text }) => sha256(`${listening.format === "none"}:${text}`),
  })

const outcomeOf = (exit: Exit.Exit<void, TurnError>) =>
  Exit.match(exit, {
    onSuccess: () => "completed",
    onFailure: (cause) =>
      Option.match(Cause.failureOption(cause), {
        onSome: ({ _tag }) => _tag,
        onNone: () => (Cause.isInterruptedOnly(cause) ? "interrupted" : "defect"),
      }),
  })

/** Turns: audio in, its transcript, the reply, the reply's speech, both messages saved. */
export class Turns extends Context.Tag("Turns")<
  Turns,
  {
    /**
     * One turn as a stream of events. It begins when the stream is run, and all of it (fibres, ffmpeg, requests to
     * providers) ends with the stream. `Completed` comes last, once the turn is saved; of one that ends before, what
     * was heard is saved as interrupted.
     */
    readonly take: (input: TurnInput) => Stream.Stream<TurnEvent, TurnError>
  }
>() {
  static readonly layer = Layer.scoped(
    Turns,
    Effect.gen(function* () {
      const ffmpeg = yield* Ffmpeg
      const slots = yield* DecodingSlots
      const sessions = yield* Sessions
      const running = yield* RunningTurns
      const ledger = yield* Ledger
      const takeTurn = yield* makeTakeTurn

      const settling = yield* FiberSet.make()
      yield* Effect.addFinalizer(() =>
        FiberSet.awaitEmpty(settling).pipe(Effect.timeoutOption(stopPatience), Effect.interruptible),
      )

      /** Notes the end of a turn, by a fibre that outlives it. */
      const note = (end: Effect.Effect<void, TurnError>) =>
        end.pipe(
          Effect.retry({ schedule: settleAgain, while: ({ _tag }) => _tag === "DatabaseUnavailable" }),
          Effect.catchAllCause((cause) => Effect.logWarning("turn.finalize_failed", cause)),
          Effect.interruptible,
          FiberSet.run(settling),
        )

      /** What is to be done where a turn ends before its end. */
      const settleUnlessWhole =
        ({ input, session, ticket, watch, tally }: Begun) =>
        (exit: Exit.Exit<void, TurnError>) =>
          Effect.gen(function* () {
            yield* countTurn(outcomeOf(exit))
            if (Exit.isSuccess(exit)) return
            const timings = yield* watch.soFar
            const failure = Option.map(Cause.failureOption(exit.cause), ({ _tag }) => _tag)
            const state = Option.contains(failure, "TurnCancelled") ? "cancelled" : "interrupted"
            const ending = { input, session, tally, timings }
            const noted = yield* note(Effect.zipRight(ticket.issued, settle(ledger, ending, state)))
            // Who is told that the database is away is told so at once.
            if (Option.contains(failure, "DatabaseUnavailable")) return
            yield* undisturbed(Effect.timeoutOption(Fiber.await(noted), settlePatience))
          })

      const again = (turn: StoredTurn, input: TurnInput) =>
        Effect.zipRight(
          Effect.annotateLogs(Effect.logInfo("turn.replayed"), {
            turnId: turn.id,
            sessionId: turn.sessionId,
          }),
          replay(turn, input, (speech, from, to) =>
            from === to
              ? Effect.succeed(speech)
              : slots.withSlot(input.userId, ffmpeg.reencode(speech, from, to)),
          ),
        )

      const take: Turns["Type"]["take"] = (input) =>
        Stream.unwrapScoped(
          Effect.gen(function* () {
            const { turnId, userId, listening, whereto } = input
            yield* Effect.annotateLogsScoped({ turnId })
            const watch = makeStopwatch(input.uploadMs)
            const tally = makeTally()
            const doomed = yield* running.register(turnId)
            const idempotency = Option.map(input.idempotencyKey, (key) => ({
              key,
              contentHash: hashOf(input),
            }))
            // First of all: a retry gets its answer also where no turn may join the session any more.
            const earlier = yield* Effect.transposeMapOption(idempotency, (key) =>
              running.answered(userId, key),
            )
            const answer = Option.flatten(earlier)
            if (Option.isSome(answer)) return yield* again(answer.value, input)
            const session = yield* Whereto.$match(whereto, {
              Asked: ({ sessionId }) => sessions.join(userId, sessionId),
              Given: ({ sessionId }) => sessions.rejoin(userId, sessionId),
            })
            yield* Effect.annotateLogsScoped({ sessionId: session.id })
            const events = yield* Mailbox.make<Passing, TurnError>({ capacity: eventsAhead })
            const turn = (ticket: QueueTicket, restore: typeof Effect.interruptible) => {
              const begun = { input, session, ticket, watch, tally }
              return restore(
                Effect.raceFirst(
                  takeTurn(begun, (event) => events.offer(event)),
                  doomed,
                ),
              ).pipe(
                // What waits for a slow listener would be heard after it is settled what was heard.
                Effect.onError(() => Effect.ignore(events.clear)),
                Effect.onExit(settleUnlessWhole(begun)),
                Mailbox.into(events),
              )
            }
            // One that failed, or whose listener left, may have begun all the same.
            const unclaimed = ledger.fail({ id: turnId, timings: {}, usage: tally.usage })
            // What has a place is never without the fibre that gives it back.
            const claim = yield* Effect.uninterruptibleMask((restore) =>
              restore(running.claim({ id: turnId, userId, session, idempotency })).pipe(
                Effect.onError(() => note(unclaimed)),
                Effect.tap((claimed) =>
                  claimed._tag === "First" ? Effect.forkScoped(turn(claimed.ticket, restore)) : Effect.void,
                ),
              ),
            )
            if (claim._tag === "Answered") return yield* again(claim.turn, input)
            const heardAs = listening.format === "none" ? "ReplyDelta" : "Audio"
            return Mailbox.toStream(events).pipe(
              Stream.filterMap((event) => {
                if (event._tag === "HandedOn") tally.heardTo = event.to
                if (event._tag === heardAs) tally.isHeard = listening.isLive
                return event._tag === "HandedOn" ? Option.none() : Option.some(event)
              }),
            )
          }),
        )

      return { take }
    }),
  )
}
