import { Cause, Clock, Duration, Effect, FiberSet, Option } from "effect"
import { exceeds, promptTokens } from "../agent/prompt.ts"
import { planSummary, type SummaryPlan } from "../agent/summary-plan.ts"
import { toSummary } from "../agent/summary-text.ts"
import type { TurnEnd } from "../conversation/stored-turn.ts"
import { Summaries } from "../conversation/summaries.ts"
import type { DatabaseError } from "../db/errors.ts"
import { uninterruptibleWithTimeout } from "../db/postgres.ts"
import {
  detailFields,
  emptyAnswer,
  finalAnswer,
  type ProviderError,
  reasonOf,
  timedOut,
} from "../providers/errors.ts"
import { type EndReason, LanguageModel } from "../providers/language-model.ts"
import { talker } from "../providers/offline/thinking.ts"
import { estimateTokens } from "../providers/tokens.ts"
import type { SessionId } from "../schema.ts"
import type { RunningTurn } from "./pipeline.ts"
import { itemsAtMost } from "./saving.ts"

/** Requests of this process at the same time. */
const maxAtOnce = 2

/** Sessions that wait for their summary. One beyond that gets its summary after a later turn. */
const maxWaiting = 1000

/** Requests after one turn. A session from before there were summaries needs several. */
const maxRequests = 5

/** The newest items that are read, as a multiple of what the model sees, and at least. */
const readAhead = { times: 2, least: 200 }

/** Of one request; half of the lease. */
const requestTimeout = Duration.seconds(60)

/** What is read of an answer, in UTF-16 units. The summary is a part of it. */
const longestAnswer = 100_000

/** How long a shutdown waits until other processes may make the summary. */
const releaseTimeout = Duration.seconds(1)

/** One request for a summary. */
const write = (
  model: LanguageModel["Type"],
  { request, agent }: RunningTurn,
  { prompt, tokens }: SummaryPlan,
) =>
  Effect.suspend(() => {
    // With a smaller limit, a model that thinks would not come to its answer.
    const maxTokens = Option.map(agent.thinking.maxTokens, (most) => Math.max(most, 2 * tokens))
    let text = ""
    let reason: EndReason = "stop"
    let counted: { readonly inputTokens: number; readonly outputTokens: number } | undefined
    const options = { turnId: request.turnId, ...agent.thinking, maxTokens }
    const written = model.generate(prompt, options, (event) => {
      if (event._tag === "Text" && text.length < longestAnswer) text += event.text
      if (event._tag === "Retract") text = ""
      if (event._tag === "End") reason = event.reason
      if (event._tag === "Usage") counted = event
    })
    const summary = Effect.suspend(() => {
      if (reason === "refused" || reason === "filtered") {
        return Effect.fail(finalAnswer("llm", "declined", "the model declined to summarize"))
      }
      const { inputTokens, outputTokens } = counted ?? {
        inputTokens: promptTokens(prompt),
        outputTokens: estimateTokens(text),
      }
      return Option.match(toSummary(text, agent.history.maxTokens), {
        onNone: () => Effect.fail(emptyAnswer("llm")),
        onSome: (summary) => Effect.succeed({ text: summary, usage: { inputTokens, outputTokens } }),
      })
    })
    return written.pipe(
      Effect.timeoutFail({ duration: requestTimeout, onTimeout: () => timedOut("llm", requestTimeout) }),
      Effect.zipRight(summary),
    )
  })

/**
 * Summarizes conversations that are longer than the model sees, in the background. Returns what is called at the end of a
 * turn, with its end in the ledger. A failure is logged, and the next turn of the session tries again.
 */
export const makeSummarizer = Effect.gen(function* () {
  const summaries = yield* Summaries
  const model = yield* LanguageModel
  const inBackground = yield* FiberSet.make<void>()
  const slots = yield* Effect.makeSemaphore(maxAtOnce)
  const waiting = new Set<SessionId>()

  /** One summary. True: the conversation needs another one. */
  const summarizePart = Effect.fnUntraced(function* (turn: RunningTurn) {
    const { history } = turn.agent
    const limit = Math.max(readAhead.least, readAhead.times * history.maxItems)
    const begun = yield* summaries.begin(turn.session.id, limit, (found) => planSummary(found, history))
    if (Option.isNone(begun)) return false
    const { lease, plan } = begun.value
    const startedAt = yield* Clock.currentTimeMillis
    const made = yield* write(model, turn, plan).pipe(
      Effect.flatMap(({ text, usage }) => {
        const save = summaries.save(lease, text, usage)
        return Effect.zipWith(save, Clock.currentTimeMillis, (isSaved, now) => ({
          isSaved,
          ms: now - startedAt,
          items: plan.covers,
          ...usage,
        }))
      }),
      Effect.tap((made) => Effect.annotateLogs(Effect.logInfo("summary.made"), made)),
      Effect.onError(() =>
        Effect.ignore(uninterruptibleWithTimeout(Effect.timeout(summaries.release(lease), releaseTimeout))),
      ),
    )
    return made.isSaved && !plan.isLast
  })

  const summarize = Effect.fn("Summarizer.summarize")(function* (turn: RunningTurn) {
    // Its rules would make nonsense of a summary.
    if ((yield* model.model) === talker.name()) return
    for (let requests = 0; requests < maxRequests; requests += 1) {
      if (!(yield* summarizePart(turn))) return
    }
  })

  const logFailure = (cause: Cause.Cause<ProviderError | DatabaseError>) => {
    if (Cause.isInterruptedOnly(cause)) return Effect.void
    const failure = Option.getOrUndefined(Cause.failureOption(cause))
    // A provider's own sentence may quote the conversation.
    return failure !== undefined && "stage" in failure
      ? Effect.annotateLogs(Effect.logWarning("summary.failed"), {
          reason: reasonOf(failure),
          ...detailFields(failure.details),
        })
      : Effect.logWarning("summary.failed", cause)
  }

  return (turn: RunningTurn, saved: Effect.Effect<Option.Option<TurnEnd>>) =>
    Effect.suspend(() => {
      const { agent, session, standing, log, request } = turn
      const known = [...standing.history(), ...request.unsaved.items, ...itemsAtMost(turn, log.state())]
      const isDue = agent.history.isSummarized && !turn.isAside && exceeds(known, agent.history)
      if (!isDue || waiting.has(session.id) || waiting.size >= maxWaiting) return Effect.void
      waiting.add(session.id)
      return saved.pipe(
        Effect.flatMap((end) =>
          Option.isNone(end) || end.value === "failed" ? Effect.void : slots.withPermits(1)(summarize(turn)),
        ),
        Effect.catchAllCause(logFailure),
        Effect.ensuring(Effect.sync(() => waiting.delete(session.id))),
        Effect.interruptible,
        FiberSet.run(inBackground),
        Effect.asVoid,
      )
    })
})
