import { Effect, Option, Predicate, Schema } from "effect"
import type OpenAI from "openai"
import { ProviderUnusable, wrongAnswer } from "../errors.ts"
import { type LanguageModel, ModelEvent } from "../language-model.ts"
import { readEach } from "../read-each.ts"
import type { OpenAiClient } from "./client.ts"
import { toProviderError } from "./errors.ts"
import { chatFields } from "./request.ts"

/** Compatible servers count in other ways, or not at all. */
const isUsage = Schema.is(
  Schema.Struct({ prompt_tokens: Schema.NonNegativeInt, completion_tokens: Schema.NonNegativeInt }),
)

const textOf = (content: unknown) => (typeof content === "string" ? content : "")

const endReason = (finishReason: string, isRefusal: boolean) => {
  if (isRefusal) return "refused"
  if (finishReason === "content_filter") return "filtered"
  return finishReason === "length" ? "length" : "stop"
}

/** Another try would be declined too. */
const declined = new ProviderUnusable({
  stage: "llm",
  reason: "the model declined to answer",
  retryable: false,
  retryAfter: Option.none(),
})

export const generateWith =
  (client: OpenAiClient): LanguageModel["Type"]["generate"] =>
  (prompt, options, on) =>
    Effect.suspend(() => {
      let hasText = false
      let isRefusal = false
      let finishReason = ""

      /** A chunk is whatever JSON the server sent: the SDK does not check it. */
      const read = (chunk: OpenAI.ChatCompletionChunk) => {
        if (!Predicate.isRecord(chunk)) return
        const choice = Array.isArray(chunk.choices) ? chunk.choices[0] : undefined
        const refusal = textOf(choice?.delta?.refusal)
        isRefusal ||= refusal !== ""
        // PostgreSQL stores no NUL in text.
        const text = `${textOf(choice?.delta?.content)}${refusal}`.replaceAll("\0", "")
        if (text !== "") {
          hasText ||= text.trim() !== ""
          on(ModelEvent.Text({ text }))
        }
        if (choice?.finish_reason) finishReason = choice.finish_reason
        const { usage } = chunk
        if (isUsage(usage)) {
          on(ModelEvent.Usage({ inputTokens: usage.prompt_tokens, outputTokens: usage.completion_tokens }))
        }
      }

      const answer = readEach(
        (signal) =>
          client.adapted("llm", options.model, chatFields(prompt, options), (fields) =>
            client.sdk.post<AsyncIterable<OpenAI.ChatCompletionChunk>>("/chat/completions", {
              body: { model: options.model, ...fields, stream: true },
              stream: true,
              signal,
            }),
          ),
        read,
        toProviderError("llm"),
      )
      return Effect.flatMap(answer, () => {
        if (finishReason === "") return wrongAnswer("llm", "the stream ended without its end mark")
        const reason = endReason(finishReason, isRefusal)
        if (!hasText) return reason === "filtered" ? declined : wrongAnswer("llm", "no text in it")
        on(ModelEvent.End({ reason }))
        return Effect.void
      })
    })
