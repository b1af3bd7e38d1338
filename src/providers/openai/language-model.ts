import { Effect } from "effect"
import { asUnserved, finalAnswer, type ProviderError } from "../errors.ts"
import { type LanguageModel, ModelEvent, type Prompt } from "../language-model.ts"
import { readEach } from "../read-each.ts"
import { callableTools } from "../tools.ts"
import { chatFields, lacksTools } from "./chat-request.ts"
import type { OpenAiClient } from "./client.ts"
import { makeCompletion } from "./completion.ts"
import { toProviderError } from "./errors.ts"
import { chunksOf } from "./fetch.ts"
import { refusalOf } from "./refusal.ts"

/** Some servers say so with a 404 or a 500. */
const toError =
  (prompt: Prompt) =>
  (cause: unknown): ProviderError => {
    const error = toProviderError("llm")(cause)
    const words = callableTools(prompt).length === 0 ? [] : (refusalOf(cause)?.words ?? [])
    return words.some((text) => lacksTools.some((saying) => saying.test(text)))
      ? asUnserved(finalAnswer("llm", "no-tools", "the model or its server supports no tools"))
      : error
  }

/** The text and the calls are as the model wrote them: see `cleanReplies`. */
export const generateWith =
  (client: OpenAiClient): LanguageModel["Type"]["generate"] =>
  (prompt, options, on) =>
    Effect.suspend(() => {
      const completion = makeCompletion(on, options.onWritten)
      const answer = readEach(
        async (signal) =>
          chunksOf(
            await client.adapted(
              "llm",
              options.model,
              chatFields(prompt, options),
              (fields) =>
                client.sdk
                  .post("/chat/completions", {
                    body: { model: options.model, ...fields },
                    stream: true,
                    signal,
                  })
                  .asResponse(),
              () => on(ModelEvent.Alive({ isThinking: false })),
            ),
            completion.hasEnded,
          ),
        completion.push,
        toError(prompt),
      )
      return Effect.flatMap(answer, () => {
        const failure = completion.finish()
        return failure === undefined ? Effect.void : Effect.fail(failure)
      })
    })
