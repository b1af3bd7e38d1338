import { Duration, Effect, Option } from "effect"
import type { Agent } from "../agent/agent.ts"
import { promptTokens } from "../agent/prompt.ts"
import type { SummaryPlan } from "../agent/summary-plan.ts"
import { toSummary } from "../agent/summary-text.ts"
import { emptyAnswer, finalAnswer, timedOut } from "../providers/errors.ts"
import type { EndReason, LanguageModel } from "../providers/language-model.ts"
import { noUsage, type SessionId, type TurnId } from "../schema.ts"
import type { Meter } from "../usage/bill.ts"
import { makeRequestMeter } from "../usage/request-meter.ts"
import type { Payer } from "../usage/usage-days.ts"

/** The turn after which a conversation is summarized. */
export interface SummarizedTurn {
  readonly turnId: TurnId
  readonly sessionId: SessionId
  readonly agent: Agent
  /** Who pays for the summary. */
  readonly payer: Payer
}

/** Of one request; half of the lease. */
const requestTimeout = Duration.seconds(60)

/** What is read of an answer, in UTF-16 units. The summary is a part of it. */
const longestAnswer = 100_000

/**
 * One request for a summary, to the model that has answered the turn. It is not retried. What it used is added to the meter,
 * also if it fails.
 */
export const writeSummary = Effect.fn("writeSummary")(
  (
    model: Pick<LanguageModel["Type"], "generate">,
    { turnId, agent }: SummarizedTurn,
    { prompt, tokens }: SummaryPlan,
    meter: Pick<Meter, "add">,
  ) => {
    // With a smaller limit, a model that thinks would not come to its answer.
    const maxTokens = Option.map(agent.thinking.maxTokens, (most) => Math.max(most, 2 * tokens))
    let text = ""
    let reason: EndReason = "stop"
    const requests = makeRequestMeter(
      () => promptTokens(prompt),
      (by, tokens) => meter.add({ ...by, usage: { ...noUsage, ...tokens } }),
    )
    const options = { turnId, ...agent.thinking, maxTokens, ...requests.watch }
    const written = model.generate(prompt, options, (event) => {
      requests.onEvent(event)
      if (event._tag === "Text" && text.length < longestAnswer) text += event.text
      if (event._tag === "Retract") text = ""
      if (event._tag === "End") reason = event.reason
    })
    const summary = Effect.suspend(() => {
      if (reason === "refused" || reason === "filtered") {
        return Effect.fail(finalAnswer("llm", "declined", "the model declined to summarize"))
      }
      return Option.match(toSummary(text, agent.history.maxTokens), {
        onNone: () => Effect.fail(emptyAnswer("llm")),
        onSome: (summary) => Effect.succeed({ text: summary, usage: requests.tokens() }),
      })
    })
    return written.pipe(
      Effect.timeoutFail({ duration: requestTimeout, onTimeout: () => timedOut("llm", requestTimeout) }),
      Effect.ensuring(Effect.sync(requests.end)),
      Effect.zipRight(summary),
    )
  },
)
