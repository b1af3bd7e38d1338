import { Array as Arr, Option } from "effect"
import type { Prompt, PromptMessage } from "../providers/language-model.ts"
import { estimateTokens } from "../providers/tokens.ts"
import type { Tool, ToolOffer } from "../providers/tools.ts"
import type { Agent, HistoryLimits } from "./agent.ts"
import { toolsOf } from "./called-tool.ts"
import { groupMessages, type PromptItem, splitSummary } from "./history-messages.ts"
import { summaryNote } from "./summary-text.ts"

const tokensOfMessage = (message: PromptMessage): number => {
  const calls = message.role === "assistant" ? (message.toolCalls ?? []) : []
  return calls.reduce(
    (sum, call) => sum + estimateTokens(call.name) + estimateTokens(call.arguments),
    estimateTokens(message.content),
  )
}

const tokensOf = (messages: ReadonlyArray<PromptMessage>) =>
  messages.reduce((sum, message) => sum + tokensOfMessage(message), 0)

/** The message with the summary, which takes the place of the items before it, and the items after it. */
const sinceSummary = (history: ReadonlyArray<PromptItem>, { maxItems, maxTokens }: HistoryLimits) => {
  const { summary, items } = splitSummary(history)
  const note =
    maxItems === 0 ? Option.none() : Option.flatMap(summary, (text) => summaryNote(text, maxTokens))
  return { summary: Option.toArray(note), items }
}

/** True if a history is longer than the model sees. */
export const exceeds = (history: ReadonlyArray<PromptItem>, limits: HistoryLimits): boolean => {
  const { summary, items } = sinceSummary(history, limits)
  const tokens = tokensOf([...summary, ...groupMessages(items).flat()])
  return items.length > limits.maxItems || tokens > limits.maxTokens
}

/**
 * The newest messages that fit the estimated tokens, oldest first, from a user's message on. Of `maxItems` items or more
 * since the summary, what stands before their first user's message is dropped: its start may be cut off.
 *
 * @param keepsNewest The newest user's message, and what follows it, stay even if they do not fit. Without a user's message,
 *   all messages stay.
 */
export const fitHistory = (
  history: ReadonlyArray<PromptItem>,
  limits: HistoryLimits,
  keepsNewest: boolean,
): ReadonlyArray<PromptMessage> => {
  const { summary, items } = sinceSummary(history, limits)
  const isWhole = items.length < limits.maxItems
  const [head, ...others] = groupMessages(items)
  const groups = isWhole || (keepsNewest && others.length === 0) ? [head, ...others] : others
  let left = limits.maxTokens - tokensOf(summary)
  const tooOld = groups.findLastIndex((group, at) => {
    left -= tokensOf(group)
    return left < 0 && !(keepsNewest && at === groups.length - 1)
  })
  return [...summary, ...groups.slice(tooOld + 1).flat()]
}

/** Models answer somebody: many refuse a prompt that ends with their own words, or that is empty. */
const silence: PromptMessage = { role: "note", content: "The user has said nothing since." }

/**
 * The prompt for what the user said last, with the history that fits. `said` is None where the agent answers the
 * conversation as it stands.
 */
export const makePrompt = (
  agent: Agent,
  history: ReadonlyArray<PromptItem>,
  said: Option.Option<string>,
): Prompt => {
  const messages: ReadonlyArray<PromptMessage> = [
    ...fitHistory(history, agent.history, Option.isNone(said)),
    ...Option.match(said, {
      onNone: () => [],
      onSome: (content) => [{ role: "user" as const, content }],
    }),
  ]
  const isOver = Arr.last(messages).pipe(
    Option.match({ onNone: () => true, onSome: ({ role }) => role === "assistant" }),
  )
  return {
    instructions: agent.instructions,
    messages: isOver ? [...messages, silence] : messages,
    ...agent.calling,
  }
}

/** How often the model has called tools since the user's last words. */
export const roundsSinceUser = ({ messages }: Prompt): number =>
  messages
    .slice(messages.findLastIndex(({ role }) => role === "user") + 1)
    .filter((message) => message.role === "assistant" && message.toolCalls !== undefined).length

/** What the model may call in a round. A choice that forces a call holds for the first one: it would never end. */
const offerOf = ({ calling, acting }: Agent, round: number): ToolOffer => {
  const tools = toolsOf({ calling, acting })
  if (round === 0 && tools.every(({ by }) => by === "client")) return calling
  const { toolChoice } = calling
  const isLast = round + 1 >= acting.maxRounds
  const later = toolChoice === "none" ? "none" : "auto"
  return {
    ...calling,
    tools: tools.map(({ tool }) => tool),
    toolChoice: isLast ? "none" : round === 0 ? toolChoice : later,
    isOptional: tools.every((each) => each.by === "service" && each.runnable.isOptional === true),
  }
}

/**
 * The prompt of the next round, after the rounds `before` of the same turn.
 *
 * @param earlierRounds Rounds of turns before that count, too.
 */
export const promptOfRound = (
  agent: Agent,
  prompt: Prompt,
  before: ReadonlyArray<{ readonly text: string; readonly calls: ReadonlyArray<PromptItem> }>,
  earlierRounds = 0,
): Prompt => {
  const said = (text: string): PromptItem => ({
    payload: { type: "message", role: "assistant", text },
    interrupted: false,
  })
  const messages = groupMessages(before.flatMap(({ text, calls }) => [said(text), ...calls])).flat()
  return {
    ...prompt,
    messages: [...prompt.messages, ...messages],
    ...offerOf(agent, earlierRounds + before.length),
  }
}

const tokensOfTool = ({ name, description, parameters }: Tool) =>
  estimateTokens(name) +
  estimateTokens(Option.getOrElse(description, () => "")) +
  estimateTokens(JSON.stringify(parameters))

/** The estimated size of the prompt, in tokens. */
export const promptTokens = ({ instructions, messages, tools }: Prompt): number =>
  tools.reduce((sum, tool) => sum + tokensOfTool(tool), estimateTokens(instructions) + tokensOf(messages))
