import { Cause, Clock, Duration, Effect, FiberSet, Option } from "effect"
import { exceeds } from "../agent/prompt.ts"
import { planSummary } from "../agent/summary-plan.ts"
import type { TurnEnd } from "../conversation/stored-turn.ts"
import { Summaries } from "../conversation/summaries.ts"
import type { DatabaseError } from "../db/errors.ts"
import { uninterruptibleWithTimeout } from "../db/postgres.ts"
import { countSummary } from "../metrics.ts"
import { detailFields, type ProviderError, reasonOf } from "../providers/errors.ts"
import { LanguageModel } from "../providers/language-model.ts"
import { talker } from "../providers/offline/thinking.ts"
import type { SessionId } from "../schema.ts"
import { type Meter, makeMeter } from "../usage/bill.ts"
import { charge } from "../usage/charge.ts"
import { Spending } from "../usage/spending.ts"
import { UsageDays } from "../usage/usage-days.ts"
import type { RunningTurn } from "./pipeline.ts"
import { itemsAtMost } from "./saving.ts"
import { type SummarizedTurn, writeSummary } from "./write-summary.ts"

/** Requests of this process at the same time: few, because turns of other sessions need the same servers. */
const maxAtOnce = 4

/** Sessions that wait for their summary. One beyond that gets its summary after a later turn. */
const maxWaiting = 1000

/** Requests after one turn. A conversation from before there were summaries needs several. */
const maxRequests = 5

/** The newest items that are read, as a multiple of what the model sees, and at least. */
const readAhead = { times: 2, least: 200 }

/** How long a shutdown waits until other processes may make the summary. */
const releaseTimeout = Duration.seconds(1)

const logFailure = (cause: Cause.Cause<ProviderError | DatabaseError>) => {
  if (Cause.isInterruptedOnly(cause)) return Effect.void
  const failure = Option.getOrUndefined(Cause.failureOption(cause))
  const logged =
    failure !== undefined && "stage" in failure
      ? // A provider's own sentence may quote the conversation.
        Effect.annotateLogs(Effect.logWarning("summary.failed"), {
          reason: reasonOf(failure),
          ...detailFields(failure.details),
        })
      : Effect.logWarning("summary.failed", cause)
  return Effect.zipRight(countSummary("failed"), logged)
}

/**
 * Summarizes conversations that are longer than the model sees, in the background. Returns what is called at the end of a
 * turn, with its end in the ledger. A failure is logged, and the next turn of the session tries again.
 */
export const makeSummarizer = Effect.gen(function* () {
  const summaries = yield* Summaries
  const model = yield* LanguageModel
  const spending = yield* Spending
  const days = yield* UsageDays
  const inBackground = yield* FiberSet.make<void>()
  const slots = yield* Effect.makeSemaphore(maxAtOnce)
  const waiting = new Set<SessionId>()
  /** What summaries used that could not be counted: it is counted with the next summary of the session. */
  const unpaid = new Map<SessionId, Meter>()

  /** One summary. True: the conversation needs another one. */
  const summarizePart = Effect.fnUntraced(function* (turn: SummarizedTurn) {
    const { history } = turn.agent
    const limit = Math.max(readAhead.least, readAhead.times * history.maxItems)
    yield* spending.check(turn.payer.userId)
    const begun = yield* summaries.begin(turn.sessionId, limit, (found) => planSummary(found, history))
    if (Option.isNone(begun)) return false
    const { lease, plan } = begun.value
    const startedAt = yield* Clock.currentTimeMillis
    const released = uninterruptibleWithTimeout(Effect.timeout(summaries.release(lease), releaseTimeout))
    const meter = unpaid.get(turn.sessionId) ?? makeMeter(spending.prices)
    const charged = Effect.map(
      charge(meter, (consumed) => days.add(turn.payer, consumed)),
      (isPaid) => {
        if (isPaid) unpaid.delete(turn.sessionId)
        else if (unpaid.size < maxWaiting) unpaid.set(turn.sessionId, meter)
      },
    )
    const isSaved = yield* writeSummary(model, turn, plan, meter).pipe(
      Effect.ensuring(charged),
      Effect.flatMap(({ text, usage }) =>
        Effect.tap(summaries.save(lease, text, usage), (isSaved) =>
          Effect.flatMap(Clock.currentTimeMillis, (now) =>
            Effect.annotateLogs(Effect.logInfo("summary.made"), {
              items: plan.covers,
              ms: now - startedAt,
              ...usage,
              saved: isSaved,
            }),
          ),
        ),
      ),
      Effect.onError(() => Effect.ignore(released)),
    )
    yield* countSummary(isSaved ? "saved" : "outdated")
    return isSaved && !plan.isLast
  })

  const summarize = Effect.fn("Summarizer.summarize")(function* (turn: SummarizedTurn) {
    // Its rules would make nonsense of a summary.
    if ((yield* model.model) === talker.name()) return
    for (let requests = 0; requests < maxRequests; requests += 1) {
      const isMoreDue = yield* summarizePart(turn)
      if (!isMoreDue) return
    }
  })

  return (ended: RunningTurn, saved: Effect.Effect<Option.Option<TurnEnd>>) =>
    Effect.suspend(() => {
      const { agent, session, standing, log, request } = ended
      const known = [...standing.history(), ...request.unsaved.items, ...itemsAtMost(ended, log.state())]
      const isDue = agent.history.isSummarized && !ended.isAside && exceeds(known, agent.history)
      if (!isDue || waiting.has(session.id) || waiting.size >= maxWaiting) return Effect.void
      waiting.add(session.id)
      // Not all of the turn, which has its audio.
      const turn: SummarizedTurn = {
        turnId: request.turnId,
        sessionId: session.id,
        agent,
        payer: ended.payer,
      }
      return saved.pipe(
        Effect.flatMap((end) =>
          Option.isNone(end) || end.value === "failed" ? Effect.void : slots.withPermits(1)(summarize(turn)),
        ),
        Effect.catchTag("QuotaExceeded", () => Effect.void),
        Effect.catchAllCause(logFailure),
        Effect.ensuring(Effect.sync(() => waiting.delete(session.id))),
        Effect.interruptible,
        FiberSet.run(inBackground),
        Effect.asVoid,
      )
    })
})
