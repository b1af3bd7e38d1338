import { Effect, Option, Schema } from "effect"
import type { Provider } from "../openai/client.ts"
import { wrongAnswer } from "../openai/errors.ts"
import type { Message } from "../sessions/model.ts"

/** How the model is asked; the settings of the same names. */
export interface ResponseSettings {
  readonly systemPrompt: string
  readonly contextTokens: number
  readonly llmMaxTokens: number
  readonly llmTemperature: number
}

export interface Tokens {
  readonly inputTokens: number
  readonly outputTokens: number
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
  let left = budget
  const oldest = turns.findLastIndex((turn) => {
    left -= turn.reduce((sum, { content }) => sum + estimateTokens(content), 0)
    return left < 0
  })
  return turns.slice(oldest + 1).flat()
}

/**
 * The model's reply to the transcript, handed on as it is written; answers what it cost. A stream without its end mark,
 * and one without a word, is a wrong answer. One try: what was passed on decides whether another is allowed, and only
 * the caller knows.
 */
export const respond = Effect.fn("respond")(function* (
  llm: Provider,
  settings: ResponseSettings,
  history: ReadonlyArray<Message>,
  transcript: string,
  write: (text: string) => void,
) {
  const messages = [
    { role: "system" as const, content: settings.systemPrompt },
    ...fitContext(history, settings.contextTokens).map(({ role, content }) => ({ role, content })),
    { role: "user" as const, content: transcript },
  ]
  let written = ""
  let ended = false
  let tokens = Option.none<Tokens>()
  yield* llm.each(
    ({ sdk, model, signal }) =>
      sdk.chat.completions.create(
        {
          model,
          messages,
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
      if (isUsage(chunk.usage)) {
        const { prompt_tokens: inputTokens, completion_tokens: outputTokens } = chunk.usage
        tokens = Option.some({ inputTokens, outputTokens })
      }
      // PostgreSQL keeps no NUL in text.
      const delta = (choice?.delta?.content ?? "").replaceAll("\0", "")
      written += delta
      if (delta !== "") write(delta)
      return delta !== "" || ended
    },
  )
  if (!ended) return yield* wrongAnswer("llm", "the stream ended without its end mark")
  if (written.trim() === "") return yield* wrongAnswer("llm", "no text in it")
  return Option.getOrElse(tokens, () => ({
    inputTokens: messages.reduce((sum, { content }) => sum + estimateTokens(content), 0),
    outputTokens: estimateTokens(written),
  }))
})
