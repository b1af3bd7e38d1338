import { Effect } from "effect"
import { type LanguageModel, ModelEvent } from "../providers/language-model.ts"

/** A model that always writes this text. No server is asked, so it costs nothing. */
export const scriptedModel = (text: string): Pick<LanguageModel["Type"], "generate"> => ({
  generate: (_prompt, _options, on) =>
    Effect.sync(() => {
      on(ModelEvent.Usage({ inputTokens: 0, outputTokens: 0 }))
      on(ModelEvent.Text({ text }))
      on(ModelEvent.End({ reason: "stop" }))
    }),
})
