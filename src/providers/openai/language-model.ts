import { Effect } from "effect"
import type OpenAI from "openai"
import type { LanguageModel } from "../language-model.ts"
import { readEach } from "../read-each.ts"
import { makeCompletion } from "./completion.ts"
import { toProviderError } from "./errors.ts"

/** The events of a body until the answer has ended, one by one: a packet may hold many, and the first one is spoken first. */
async function* eventsOf({ body }: Response, { split, hasEnded }: ReturnType<typeof makeCompletion>) {
  if (body === null) return
  for await (const bytes of body) {
    for (const event of split(bytes)) {
      yield event
      if (hasEnded()) return
    }
  }
}

/** The text is as the model wrote it: see `cleanReplies`. */
export const generateWith =
  (client: OpenAI): LanguageModel["Type"]["generate"] =>
  ({ instructions, messages }, { model, maxTokens, temperature }, on) =>
    Effect.suspend(() => {
      const completion = makeCompletion(on)
      const answer = readEach(
        async (signal) =>
          eventsOf(
            await client.chat.completions
              .create(
                {
                  model,
                  messages: [{ role: "system", content: instructions }, ...messages],
                  max_tokens: maxTokens,
                  temperature,
                  stream: true,
                  stream_options: { include_usage: true },
                },
                { signal },
              )
              .asResponse(),
            completion,
          ),
        completion.read,
        toProviderError("llm"),
      )
      return Effect.flatMap(answer, () => {
        const failure = completion.finish()
        return failure === undefined ? Effect.void : Effect.fail(failure)
      })
    })
