import { Clock, Effect } from "effect"
import { type LanguageModel, ModelEvent } from "../language-model.ts"
import { estimateTokens } from "../tokens.ts"
import { reply } from "./talker.ts"

/** The talker's reply, word by word. */
export const generate: LanguageModel["Type"]["generate"] = ({ instructions, messages }, _, on) =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    const answer = reply(messages, new Date(now))
    for (const text of answer.match(/\s*\S+/g) ?? []) on(ModelEvent.Text({ text }))
    const inputTokens = messages.reduce(
      (sum, { content }) => sum + estimateTokens(content),
      estimateTokens(instructions),
    )
    on(ModelEvent.Usage({ inputTokens, outputTokens: estimateTokens(answer) }))
    on(ModelEvent.End({ reason: "stop" }))
  })
