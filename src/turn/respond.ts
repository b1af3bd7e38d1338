import { Array as Arr, Effect, Schema } from "effect"
import type { Message } from "../conversation/model.ts"
import { wrongAnswer } from "../providers/errors.ts"
import type { Provider } from "../providers/openai/client.ts"

/** How the model is asked; the settings of the same names. */
export interface ResponseSettings {
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

/** Compatible servers count in ways of their own. */
const isUsage = Schema.is(
  Schema.Struct({ prompt_tokens: Schema.NonNegativeInt, completion_tokens: Schema.NonNegativeInt }),
)

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
  readonly role: Message["role"]
  readonly content: string
}

/** Messages of one role in a row as one: after a reply that nobody heard, models that want the roles to alternate refuse. */
export const alternating = (messages: ReadonlyArray<Said>): ReadonlyArray<Said> => {
  if (!Arr.isNonEmptyReadonlyArray(messages)) return []
  const inARow = Arr.groupWith(messages, (one, next) => one.role === next.role)
  return inARow.map((row) => ({ role: row[0].role, content: row.map(({ content }) => content).join("\n") }))
}

/**
 * The model's reply to the transcript, handed on as it is written, with what it cost. A stream without its end mark,
 * and one without a word, is a wrong answer. One try: what was passed on decides whether another is allowed, and only
 * the caller knows.
 */
export const respond = Effect.fn("respond")(function* (
  llm: Provider,
  settings: ResponseSettings,
  history: ReadonlyArray<Message>,
  transcript: string,
  { spent, wrote }: Progress,
) {
  const messages = alternating([
    { role: "system", content: settings.systemPrompt },
    ...fitContext(history, settings.contextTokens),
    { role: "user", content: transcript },
  ])
  const inputTokens = messages.reduce((sum, { content }) => sum + estimateTokens(content), 0)
  let written = ""
  let ended = false
  yield* llm.each(
    ({ sdk, model, signal }) =>
      sdk.chat.completions.create(
        {
          model,
          messages: [...messages],
          max_tokens: settings.llmMaxTokens,
          temperature: settings.llmTemperature,
          stream: true,
          stream_options: { include_usage: true },
        },
        { signal },
      ),
    (chunk) => {
      const [choice] = chunk.choices ?? []
      if (choice?.finish_reason) ended = true
      // PostgreSQL keeps no NUL in text.
      const delta = (choice?.delta?.content ?? "").replaceAll("\0", "")
      written += delta
      if (delta !== "") wrote(delta)
      if (delta !== "" || written === "") spent({ inputTokens, outputTokens: estimateTokens(written) })
      if (isUsage(chunk.usage)) {
        spent({ inputTokens: chunk.usage.prompt_tokens, outputTokens: chunk.usage.completion_tokens })
      }
      return delta !== "" || ended
    },
  )
  if (!ended) return yield* wrongAnswer("llm", "the stream ended without its end mark")
  if (written.trim() === "") return yield* wrongAnswer("llm", "no text in it")
})
