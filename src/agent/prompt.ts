import { Array as Arr } from "effect"
import type { Item } from "../conversation/item.ts"
import type { Prompt, PromptMessage } from "../providers/language-model.ts"
import { estimateTokens } from "../providers/tokens.ts"
import { withoutMarkup } from "../text/machine-markup.ts"
import type { Agent } from "./agent.ts"

/**
 * The messages of a turn for the model. Replies that an earlier version saved may contain thinking, which the model must
 * not see again. Empty messages are left out, because models refuse them.
 */
const messagesOf = (items: ReadonlyArray<Item>): ReadonlyArray<PromptMessage> =>
  items.flatMap(({ payload }) => {
    if (payload.type !== "message" || payload.role === "system") return []
    const { role, text } = payload
    const content = role === "assistant" ? withoutMarkup(text) : text
    return content.trim() === "" ? [] : [{ role, content: content.toWellFormed() }]
  })

const isUsers = ({ payload }: Item) => payload.type === "message" && payload.role === "user"

/**
 * The newest whole turns that fit the estimated tokens, oldest first. A turn that was cut off by the start of the history
 * (it does not begin with the user's message) is dropped.
 */
export const fitHistory = (history: ReadonlyArray<Item>, maxTokens: number): ReadonlyArray<PromptMessage> => {
  const turns = Object.values(Object.groupBy(history, ({ turnId }) => turnId))
    .map((turn) => turn ?? [])
    .filter(([first]) => first !== undefined && isUsers(first))
    .map(messagesOf)
  let left = maxTokens
  const tooOld = turns.findLastIndex((turn) => {
    left -= turn.reduce((sum, { content }) => sum + estimateTokens(content), 0)
    return left < 0
  })
  return turns.slice(tooOld + 1).flat()
}

/** Joins consecutive messages of one role, which some models refuse. They occur after a reply that nobody heard. */
export const alternating = (messages: ReadonlyArray<PromptMessage>): ReadonlyArray<PromptMessage> => {
  if (!Arr.isNonEmptyReadonlyArray(messages)) return []
  const runs = Arr.groupWith(messages, (one, next) => one.role === next.role)
  return runs.map((run) => ({ role: run[0].role, content: run.map(({ content }) => content).join("\n") }))
}

/** The prompt for the user's `transcript`, with the history that fits. */
export const makePrompt = (agent: Agent, history: ReadonlyArray<Item>, transcript: string): Prompt => ({
  instructions: agent.instructions,
  messages: alternating([
    ...fitHistory(history, agent.history.maxTokens),
    { role: "user", content: transcript },
  ]),
})

/** The estimated size of the prompt, in tokens. */
export const promptTokens = ({ instructions, messages }: Prompt): number =>
  [instructions, ...messages.map(({ content }) => content)].reduce(
    (sum, text) => sum + estimateTokens(text),
    0,
  )
