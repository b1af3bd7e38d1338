import { Array as Arr, Option } from "effect"
import type { NewItem } from "../conversation/item.ts"
import type { Prompt, PromptMessage } from "../providers/language-model.ts"
import { estimateTokens } from "../providers/tokens.ts"
import { withoutMarkup } from "../text/machine-markup.ts"
import type { Agent } from "./agent.ts"

/**
 * The messages of a turn for the model. Replies that an earlier version saved may contain thinking, which the model must
 * not see again. Empty messages are left out, because models refuse them.
 */
const messagesOf = (items: ReadonlyArray<NewItem>): ReadonlyArray<PromptMessage> =>
  items.flatMap(({ payload }) => {
    if (payload.type !== "message" || payload.role === "system") return []
    const { role, text } = payload
    const content = role === "assistant" ? withoutMarkup(text) : text
    return content.trim() === "" ? [] : [{ role, content: content.toWellFormed() }]
  })

const isUsers = ({ payload }: NewItem) => payload.type === "message" && payload.role === "user"

/**
 * The newest messages that fit the estimated tokens, oldest first, from a user's message on. What comes before the first
 * user's message is dropped: the start of the history may have cut it off from what it answers.
 */
export const fitHistory = (
  history: ReadonlyArray<NewItem>,
  maxTokens: number,
): ReadonlyArray<PromptMessage> => {
  const starts = history.flatMap((item, at) => (isUsers(item) ? [at] : []))
  const turns = starts.map((start, at) => messagesOf(history.slice(start, starts[at + 1])))
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

/**
 * The prompt for what the user said last, with the history that fits. `said` is None where the agent answers the
 * conversation as it stands.
 */
export const makePrompt = (
  agent: Agent,
  history: ReadonlyArray<NewItem>,
  said: Option.Option<string>,
): Prompt => ({
  instructions: agent.instructions,
  messages: alternating([
    ...fitHistory(history, agent.history.maxTokens),
    ...Option.match(said, {
      onNone: () => [],
      onSome: (content) => [{ role: "user" as const, content }],
    }),
  ]),
})

/** The estimated size of the prompt, in tokens. */
export const promptTokens = ({ instructions, messages }: Prompt): number =>
  [instructions, ...messages.map(({ content }) => content)].reduce(
    (sum, text) => sum + estimateTokens(text),
    0,
  )
