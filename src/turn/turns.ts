import { Cause, Context, Deferred, Effect, Exit, Fiber, Layer, Option, type Scope, Stream } from "effect"
import { Agents } from "../agent/agents.ts"
import { History } from "../conversation/history.ts"
import { Ledger } from "../conversation/ledger.ts"
import { RunningTurns } from "../conversation/running-turns.ts"
import { appendingTurn } from "../conversation/session-items.ts"
import { Sessions } from "../conversation/sessions.ts"
import type {
  SessionAgent,
  SessionBusy,
  StoredTurn,
  TurnEnd,
  TurnSession,
} from "../conversation/stored-turn.ts"
import { type DatabaseError, DatabaseUnavailable } from "../db/errors.ts"
import { countSpeculation, countTurn } from "../metrics.ts"
import { configuredId, ItemId, newId } from "../schema.ts"
import { countCostOf } from "../usage/charge.ts"
import { Spending } from "../usage/spending.ts"
import { codeOf, isRefusal, type TurnError } from "./errors.ts"
import type { TurnEvent } from "./events.ts"
import { makeFinalization } from "./finalization.ts"
import { runUntil } from "./fork.ts"
import type { HeardUpTo } from "./heard-reply.ts"
import { makeTurnLog, type TurnLog } from "./log.ts"
import { makePipeline, type RunningTurn } from "./pipeline.ts"
import { makeReplay } from "./replay.ts"
import { SessionTarget, type TurnRequest, type UnsavedItems } from "./request.ts"
import type { TurnFailure } from "./saving.ts"
import { makeStanding, type TurnKind } from "./standing.ts"
import type { TurnState } from "./state.ts"
import { makeSummarizer } from "./summarizer.ts"
import type { Take } from "./take.ts"

/** A running turn, or the replay of a saved one. */
export interface Turn {
  /** The client's events, live. The last one is Completed or Interrupted, or the stream fails. Can be read once. */
  readonly events: Stream.Stream<TurnEvent, TurnError>
  /** Takes the same events: for who writes them on. They can be read once, in one of both ways. */
  readonly take: Take<TurnEvent, TurnError>
  /** The fold of all events so far. */
  readonly state: () => TurnState
  /**
   * Ends the turn when the user interrupts the reply (barge-in). The part that the client heard is saved and is in the
   * prompt of the next turn. Waits up to 2 s for the save; the events then end with Interrupted. If the turn is saved
   * already, shortens the saved reply to the part that the client heard.
   */
  readonly interrupt: (heardUpTo: HeardUpTo) => Effect.Effect<void, DatabaseError>
  /**
   * Sets the saved reply to the part that the client heard, which may be more than an earlier call said. Waits for the end
   * of the turn and its save. May be called any number of times, also after the scope of the turn. The full reply stays in
   * the turn's row. Does nothing if no reply is saved.
   */
  readonly truncate: (heardUpTo: HeardUpTo) => Effect.Effect<void, DatabaseError>
}

/** A turn that begins before it is known whether it is wanted. Its events are held back: few of them, then the turn waits. */
export interface SpeculativeTurn {
  readonly turn: Turn
  /**
   * Makes it a turn of the conversation that answers what is saved and `unsaved`. False if it cannot be: it has failed, or
   * the conversation has changed since it began. The end of its scope then drops it, as it drops a turn that is not adopted:
   * nothing but its usage is saved.
   */
  readonly adopt: (unsaved: UnsavedItems) => Effect.Effect<boolean, SessionBusy | DatabaseError>
}

/** How a turn ended for its client, and its end in the ledger once it is saved; None if that failed. */
interface Ending {
  readonly outcome: string
  readonly saved: Effect.Effect<Option.Option<TurnEnd>>
}

const idOf = ({ id }: SessionAgent) => id

/** A client that left has no error. */
const failureOf = (cause: Cause.Cause<TurnError>): TurnFailure =>
  Option.match(Cause.failureOption(cause), {
    onSome: (error) => ({ code: codeOf(error), isRefused: isRefusal(error) }),
    onNone: () => (Cause.isInterruptedOnly(cause) ? {} : { code: "INTERNAL_SERVER_ERROR" }),
  })

const outcomeOf = (exit: Exit.Exit<Option.Option<HeardUpTo>, TurnError>) =>
  Exit.match(exit, {
    onSuccess: (interrupted) => (Option.isSome(interrupted) ? "interrupted" : "completed"),
    onFailure: (cause) =>
      Option.match(Cause.failureOption(cause), {
        onSome: ({ _tag }) => _tag,
        onNone: () => (Cause.isInterruptedOnly(cause) ? "interrupted" : "defect"),
      }),
  })

/** The turns of the service. A turn hears the user, speaks the agent's reply, and saves both. */
export class Turns extends Context.Tag("voice-agent/Turns")<
  Turns,
  {
    /**
     * Begins a turn, or replays the saved turn of the same Idempotency-Key. The end of the scope ends everything that
     * the turn started: fibers, ffmpeg, requests to providers. A turn that ends early is saved up to the last segment
     * that its client heard.
     */
    readonly begin: (request: TurnRequest) => Effect.Effect<Turn, TurnError, Scope.Scope>
    /**
     * Begins a turn outside its session's conversation: it reads the history or its own context, waits for no other turn,
     * and adds nothing. Its row in the ledger has its reply and its usage.
     */
    readonly aside: (request: TurnRequest) => Effect.Effect<Turn, TurnError, Scope.Scope>
    /** Begins a turn that may be wanted soon. `request.unsaved` has what it answers besides the history. */
    readonly speculate: (request: TurnRequest) => Effect.Effect<SpeculativeTurn, TurnError, Scope.Scope>
    /** `begin` as a stream: the turn begins when the stream is run, and ends with it. */
    readonly take: (request: TurnRequest) => Stream.Stream<TurnEvent, TurnError>
  }
>() {
  static readonly layer = Layer.scoped(
    Turns,
    Effect.gen(function* () {
      const sessions = yield* Sessions
      const running = yield* RunningTurns
      const ledger = yield* Ledger
      const history = yield* History
      const agents = yield* Agents
      const { prices } = yield* Spending
      const runPipeline = yield* makePipeline
      const replay = yield* makeReplay
      const summarizeAfter = yield* makeSummarizer
      const { finalizeInBackground, setHeard, finalize, awaitFinalized } = yield* makeFinalization

      /** Saves a turn that failed, then fails its client's events. */
      const endWithFailure = Effect.fnUntraced(function* (turn: RunningTurn, cause: Cause.Cause<TurnError>) {
        const { log } = turn
        yield* log.drop
        const failure = Option.map(Cause.failureOption(cause), ({ _tag }) => _tag)
        const ending = Option.match(failure, {
          onNone: () => "interrupted" as const,
          onSome: (tag) => (tag === "TurnCancelled" ? "cancelled" : "failed"),
        })
        const upTo = { delivered: log.delivered() }
        const isAway = Option.contains(failure, "DatabaseUnavailable")
        // If the save got no answer but was carried out, a client that stayed may retry and get all of the reply.
        const mayRetry = isAway && !Cause.isInterrupted(cause)
        const saving = yield* finalize(
          turn,
          upTo,
          ending,
          mayRetry ? Effect.void : setHeard(turn, upTo, true),
          failureOf(cause),
        )
        // Without a database the save cannot end soon, so the client gets the error at once.
        if (!isAway) yield* awaitFinalized(saving)
        yield* log.fail(cause)
        return saving
      })

      /** Saves a turn that its user interrupted, then ends its client's events. */
      const endWithInterruption = Effect.fnUntraced(function* (turn: RunningTurn, upTo: HeardUpTo) {
        yield* turn.log.drop
        const saving = yield* finalize(turn, upTo, "interrupted", setHeard(turn, upTo, true))
        const isSaved = yield* awaitFinalized(saving)
        if (isSaved) turn.log.push({ _tag: "Interrupted" })
        yield* isSaved
          ? turn.log.end
          : turn.log.fail(Cause.fail(new DatabaseUnavailable({ cause: "the interrupted turn is not saved" })))
        return saving
      })

      /** Runs a turn until it completes, fails or is interrupted. Uninterruptible except inside `restore`. */
      const run = Effect.fnUntraced(function* (
        turn: RunningTurn,
        ends: {
          readonly cancelled: Effect.Effect<never, TurnError>
          readonly interrupted: Effect.Effect<HeardUpTo>
        },
        restore: typeof Effect.interruptible,
      ) {
        const exit = yield* Effect.exit(
          restore(
            runUntil(
              Effect.as(runPipeline(turn), Option.none<HeardUpTo>()),
              Effect.raceFirst(ends.cancelled, Effect.asSome(ends.interrupted)),
            ),
          ),
        )
        // A turn that is saved is complete, whatever ended it during the save.
        const isComplete = turn.log.state().isSaved
        const isDropped = turn.standing.isSpeculative()
        const outcome = isComplete ? "completed" : isDropped ? "dropped" : outcomeOf(exit)
        yield* countTurn(outcome)
        yield* countCostOf(turn.log.state().consumed.bill)
        if (isDropped) {
          const { usage } = turn.log.state().consumed
          yield* Effect.annotateLogs(Effect.logInfo("turn.speculation_dropped"), usage)
          yield* countSpeculation("dropped", usage)
        }
        const end = Effect.fnUntraced(function* () {
          if (!isComplete && Exit.isFailure(exit)) return yield* endWithFailure(turn, exit.cause)
          if (!isComplete && Exit.isSuccess(exit) && Option.isSome(exit.value)) {
            return yield* endWithInterruption(turn, exit.value.value)
          }
          yield* turn.log.end
          return Fiber.succeed(Option.some<TurnEnd>("completed"))
        })
        const saving = yield* end()
        const saved = Effect.map(Fiber.await(saving), (exit) =>
          Exit.getOrElse(exit, () => Option.none<TurnEnd>()),
        )
        yield* summarizeAfter(turn, saved)
        return { outcome, saved } satisfies Ending
      })

      /** The agent that answers a turn. A session without turns keeps it. */
      const assign = Effect.fnUntraced(function* (
        { userId, agentId, agentVersion: version }: TurnRequest,
        { agent: ofSession, ...session }: TurnSession,
      ) {
        const own = Option.getOrElse(Option.fromNullable(ofSession), () => Option.none())
        const ownId: string = Option.match(own, { onNone: () => configuredId, onSome: idOf })
        const named = yield* Effect.transposeMapOption(
          Option.filter(agentId, (id) => id !== ownId),
          (id) => agents.choose(userId, { id, version }),
        )
        const other = Option.filter(
          named,
          (chosen) =>
            Option.map(chosen, idOf).pipe(Option.getOrNull) !== Option.getOrNull(Option.map(own, idOf)),
        )
        const answering = Option.getOrElse(other, () => own)
        return { session: { ...session, agent: ofSession === undefined ? answering : own }, answering }
      })

      const start = Effect.fnUntraced(function* (request: TurnRequest, kind: TurnKind) {
        const { turnId, userId, input, output, target, idempotencyKey } = request
        yield* Effect.annotateLogsScoped({ turnId })
        const log = yield* makeTurnLog({
          output,
          keepsAudio: Option.isSome(idempotencyKey) || !output.streaming,
          uploadMs: request.uploadMs,
          prices,
        })
        const cancelled = yield* running.register(turnId)
        const idempotency = Option.map(idempotencyKey, (key) => ({
          key,
          contentHash: input.fingerprint(output),
        }))
        const replayed = (stored: StoredTurn) => Effect.map(replay(stored, request), replayedTurn)
        // First, because a retry gets its answer even if no further turn can join the session.
        const earlier = yield* Effect.transposeMapOption(idempotency, (key) => running.answered(userId, key))
        const answer = Option.flatten(earlier)
        if (Option.isSome(answer)) return yield* replayed(answer.value)
        const joined = yield* SessionTarget.$match(target, {
          Preferred: ({ sessionId }) => sessions.join(userId, sessionId),
          Required: ({ sessionId }) => sessions.rejoin(userId, sessionId),
          Joined: ({ session }) => Effect.succeed(session),
        })
        const { session, answering } = yield* assign(request, joined)
        yield* Effect.annotateLogsScoped({ sessionId: session.id })
        log.push({ _tag: "Started", sessionId: session.id, turnId, replayOf: Option.none() })
        const interruption = yield* Deferred.make<HeardUpTo>()
        const newIds = () => ({ user: newId(ItemId), assistant: newId(ItemId) })
        const items = Option.getOrElse(request.itemIds, newIds)
        const agent = request.agent(
          yield* agents.resolve({ userId, sessionId: session.id, agent: answering }),
        )
        const standing = makeStanding(kind, request.unsaved)
        const { keyId } = request
        const queued = { id: turnId, userId, session, idempotency, agent: agent.origin, keyId }
        const payer = { userId, keyId, agentId: Option.getOrUndefined(Option.map(answering, idOf)) }
        const runTurn = (turn: RunningTurn, restore: typeof Effect.interruptible) =>
          run(turn, { cancelled, interrupted: Deferred.await(interruption) }, restore)
        // A claim that failed or was interrupted may still have opened the turn.
        const unclaimed = Effect.suspend(() =>
          ledger.fail({
            id: turnId,
            timings: {},
            ...log.state().consumed,
            payer,
            isRefused: true,
          }),
        )
        // Every turn that entered its session's queue gets the fiber that ends it.
        const claimed = yield* Effect.uninterruptibleMask((restore) =>
          Effect.gen(function* () {
            const besides = request.unsaved.items.map(appendingTurn)
            const claiming = running.claim({
              ...queued,
              besides,
              isAside: kind !== "conversation",
              isSpeculative: kind === "speculation",
            })
            const claim = yield* restore(log.timed("turnOrder", claiming)).pipe(
              Effect.onError(() => finalizeInBackground(unclaimed)),
            )
            if (claim._tag === "Answered") return claim
            const turn: RunningTurn = {
              request,
              session,
              get isAside() {
                return standing.isAside()
              },
              standing,
              agent,
              items,
              payer,
              ticket: claim.ticket,
              continued: claim.continued,
              log,
            }
            return { _tag: "Begun" as const, turn, fiber: yield* Effect.forkScoped(runTurn(turn, restore)) }
          }),
        )
        if (claimed._tag === "Answered") return yield* replayed(claimed.turn)
        const interrupt = Effect.fn("Turn.interrupt")(function* (upTo: HeardUpTo) {
          yield* Deferred.succeed(interruption, upTo)
          const exit = yield* Fiber.await(claimed.fiber)
          if (Exit.isSuccess(exit) && exit.value.outcome === "completed") {
            yield* setHeard(claimed.turn, upTo, true)
          }
        })
        // One after the other, so that the last call wins.
        const corrections = yield* Effect.makeSemaphore(1)
        const truncate = Effect.fn("Turn.truncate")(
          function* (upTo: HeardUpTo) {
            const ending = yield* Fiber.await(claimed.fiber)
            const end = Exit.isSuccess(ending) ? yield* ending.value.saved : Option.none()
            if (Option.isNone(end) || end.value === "failed") return
            yield* setHeard(claimed.turn, upTo, end.value === "completed")
          },
          (effect) => corrections.withPermits(1)(effect),
        )
        const adopt = Effect.fn("Turn.adopt")(function* (unsaved: UnsavedItems) {
          if (Option.isSome(yield* Fiber.poll(claimed.fiber))) return false
          const besides = unsaved.items.map(appendingTurn)
          const entered = yield* running.adopt({ ...queued, besides, isAside: false })
          if (Option.isNone(entered)) return false
          const known = request.unsaved.items.length + unsaved.items.length
          const newest = yield* history.newest(session.id, known + 1)
          if (!standing.isUpToDate(newest, unsaved)) return false
          standing.adopt(unsaved)
          yield* countSpeculation("used")
          return true
        })
        return { turn: { events: log.events, take: log.take, state: log.state, interrupt, truncate }, adopt }
      })

      const begin = (request: TurnRequest) => Effect.map(start(request, "conversation"), ({ turn }) => turn)
      return {
        begin,
        aside: (request) => Effect.map(start(request, "aside"), ({ turn }) => turn),
        speculate: (request) => start(request, "speculation"),
        take: (request) => Stream.unwrapScoped(Effect.map(begin(request), ({ events }) => events)),
      }
    }),
  )
}

/** The replay as a turn: it is over, so there is nothing to interrupt, to truncate or to adopt. */
const replayedTurn = (log: TurnLog): SpeculativeTurn => ({
  turn: {
    events: log.events,
    take: log.take,
    state: log.state,
    interrupt: () => Effect.void,
    truncate: () => Effect.void,
  },
  adopt: () => Effect.succeed(false),
})
