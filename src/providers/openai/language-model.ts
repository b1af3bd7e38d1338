import { Effect } from "effect"
import { type LanguageModel, ModelEvent } from "../language-model.ts"
import { readEach } from "../read-each.ts"
import type { OpenAiClient } from "./client.ts"
import { makeCompletion } from "./completion.ts"
import { toProviderError } from "./errors.ts"
import { chatFields } from "./request.ts"

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
  (client: OpenAiClient): LanguageModel["Type"]["generate"] =>
  (prompt, options, on) =>
    Effect.suspend(() => {
      const completion = makeCompletion(on)
      const answer = readEach(
        async (signal) =>
          eventsOf(
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
