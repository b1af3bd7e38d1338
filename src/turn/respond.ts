import { Array as Arr, Effect } from "effect"
import type { Message } from "../conversation/model.ts"
import type { LanguageModel } from "../providers/language-model.ts"
import type { TurnId } from "../schema.ts"

/** How the model is asked; the settings of the same names. */
export interface ResponseSettings {
  readonly llm: { readonly model: string }
  readonly systemPrompt: string
  readonly contextTokens: number
  readonly llmMaxTokens: number
  readonly llmTemperature: number
}

/** What is to be known while the model answers; plain JavaScript, since `wrote` runs for every token. */
export interface Progress {
  /** Of this try, once its answer has begun. Estimated, until the provider says better. */
  readonly spent: (tokens: { readonly inputTokens: number; readonly outputTokens: number }) => void
  readonly wrote: (text: string) => void
}

/** About 4 characters a token in English, fewer elsewhere. */
export const estimateTokens = (text: string) => Math.ceil(text.length / 4)

/** The newest whole turns that fit the budget, in order; of a turn that the history begins within, nothing. */
export const fitContext = (history: ReadonlyArray<Message>, budget: number): ReadonlyArray<Message> => {
  const turns = Object.values(Object.groupBy(history, ({ turnId }) => turnId))
    .map((turn) => turn ?? [])
    .filter(([first]) => first?.role !== "assistant")
    // Of a reply that was cut short in its first sentence nothing is left, and models refuse an empty message.
    .map((turn) => turn.filter(({ content }) => content.trim() !== ""))
  let left = budget
  const oldest = turns.findLastIndex((turn) => {
    left -= turn.reduce((sum, { content }) => sum + estimateTokens(content), 0)
    return left < 0
  })
  return turns.slice(oldest + 1).flat()
}

interface Said {
  readonly role: "user" | "assistant"
  readonly content: string
}

/** Messages of one role in a row as one: after a reply that nobody heard, models that want the roles to alternate refuse. */
export const alternating = (messages: ReadonlyArray<Said>): ReadonlyArray<Said> => {
  if (!Arr.isNonEmptyReadonlyArray(messages)) return []
  const inARow = Arr.groupWith(messages, (one, next) => one.role === next.role)
  return inARow.map((row) => ({ role: row[0].role, content: row.map(({ content }) => content).join("\n") }))
}

/** The model's reply to the transcript, handed on as it is written, with what it cost. One try. */
export const respond = Effect.fn("respond")(function* (
  llm: LanguageModel["Type"],
  settings: ResponseSettings,
  turnId: TurnId,
  history: ReadonlyArray<Message>,
  transcript: string,
  { spent, wrote }: Progress,
) {
  const messages = alternating([
    ...fitContext(history, settings.contextTokens).flatMap(({ role, content }) =>
      role === "system" ? [] : [{ role, content }],
    ),
    { role: "user", content: transcript },
  ])
  const inputTokens = messages.reduce(
    (sum, { content }) => sum + estimateTokens(content),
    estimateTokens(settings.systemPrompt),
  )
  let written = ""
  yield* llm.generate(
    { instructions: settings.systemPrompt, messages },
    {
      turnId,
      model: settings.llm.model,
      maxTokens: settings.llmMaxTokens,
      temperature: settings.llmTemperature,
    },
    (event) => {
      if (event._tag === "Usage") spent(event)
      if (event._tag !== "Text") return
      written += event.text
      wrote(event.text)
      spent({ inputTokens, outputTokens: estimateTokens(written) })
    },
  )
})
