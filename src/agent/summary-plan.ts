import { Option } from "effect"
import type { Prompt } from "../providers/language-model.ts"
import { charactersPerToken, estimateTokens } from "../providers/tokens.ts"
import type { HistoryLimits } from "./agent.ts"
import { type PromptItem, resultPlaces, splitSummary } from "./history-messages.ts"
import { exceeds } from "./prompt.ts"
import { summaryPrompt } from "./summary-prompt.ts"
import { summaryTokens } from "./summary-text.ts"

/** What a summary will stand for, and how a model is asked for it. */
export interface SummaryPlan {
  /** How many of the items, from the oldest. */
  readonly covers: number
  /** False: they are too many for one request. Another summary follows this one. */
  readonly isLast: boolean
  readonly prompt: Prompt
  /** How long the summary may be, in estimated tokens. */
  readonly tokens: number
}

/** The conversation in one request, in estimated tokens. As much as in a turn's prompt, which the model is known to read. */
const smallestRequest = 1000
/** The facts of a longer text get lost in its summary. */
const largestRequest = 16_000

/** In UTF-16 units of one entry, and of each entry of a turn that is longer than a request. */
const longestEntry = 4000
const shortestEntry = 200

const clamp = (value: number, least: number, most: number) => Math.min(most, Math.max(least, value))

const tokensOfItem = ({ payload }: PromptItem): number => {
  switch (payload.type) {
    case "tool_call":
      return estimateTokens(payload.name) + estimateTokens(payload.arguments)
    case "tool_result":
      return estimateTokens(payload.output)
    default:
      return estimateTokens(payload.text)
  }
}

/** The sums of the first 0, 1, 2, … values. */
const sumsOf = (values: ReadonlyArray<number>): ReadonlyArray<number> => {
  const sums = [0]
  let sum = 0
  for (const value of values) {
    sum += value
    sums.push(sum)
  }
  return sums
}

/**
 * Where a conversation may be cut: before a message of the user, and not between a call and its result. In order. The newest
 * turn is never before a cut.
 */
const cutsOf = (items: ReadonlyArray<PromptItem>): ReadonlyArray<number> => {
  const results = resultPlaces(items)
  const cuts: Array<number> = []
  let lastResult = -1
  for (const [at, { payload }] of items.entries()) {
    const begins = payload.type === "message" && payload.role === "user" && payload.text.trim() !== ""
    if (begins && at > 0 && lastResult < at) cuts.push(at)
    lastResult = Math.max(lastResult, results.get(at) ?? -1)
  }
  return cuts
}

/**
 * The summary that a history needs: of the oldest turns, so that the others take half of both limits at most. The newest turn
 * stays in any case. None: the model sees all of the history, or no turn can be left out.
 */
export const planSummary = (
  history: ReadonlyArray<PromptItem>,
  limits: HistoryLimits,
): Option.Option<SummaryPlan> => {
  const { summary, items } = splitSummary(history)
  const { maxItems, maxTokens } = limits
  const tokens = summaryTokens(maxTokens)
  if (Option.isNone(tokens) || maxItems === 0 || !exceeds(history, limits)) return Option.none()
  const cuts = cutsOf(items)
  const sizes = items.map(tokensOfItem)
  const before = sumsOf(sizes)
  const total = before.at(-1) ?? 0
  const leavesHalf = (cut: number) =>
    items.length - cut <= maxItems / 2 && total - (before[cut] ?? 0) <= maxTokens / 2
  const wanted = cuts.find(leavesHalf) ?? cuts.at(-1)
  if (wanted === undefined) return Option.none()

  const most = clamp(maxTokens, smallestRequest, largestRequest)
  const asked = sumsOf(sizes.map((size) => Math.min(size, longestEntry / charactersPerToken)))
  const fits = (cut: number) => (asked[cut] ?? 0) <= most
  const covers = cuts.findLast((cut) => cut <= wanted && fits(cut)) ?? cuts[0] ?? wanted
  const longest = fits(covers)
    ? longestEntry
    : clamp(Math.floor((most * charactersPerToken) / covers), shortestEntry, longestEntry)
  return Option.some({
    covers,
    isLast: covers === wanted,
    prompt: summaryPrompt(summary, items.slice(0, covers), { tokens: tokens.value, longestEntry: longest }),
    tokens: tokens.value,
  })
}
