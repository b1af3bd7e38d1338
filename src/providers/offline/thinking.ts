import { Clock, Effect } from "effect"
import { type LanguageModel, ModelEvent } from "../language-model.ts"
import { reply } from "./talker.ts"

/** An estimate: English has about four characters to a token. */
const tokensOf = (characters: number) => Math.ceil(characters / 4)

/** The talker's reply, word by word. */
export const generate: LanguageModel["Type"]["generate"] = ({ instructions, messages }, _, on) =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    const answer = reply(messages, new Date(now))
    for (const text of answer.match(/\s*\S+/g) ?? []) on(ModelEvent.Text({ text }))
    const asked = messages.reduce((sum, { content }) => sum + content.length, instructions.length)
    on(ModelEvent.Usage({ inputTokens: tokensOf(asked), outputTokens: tokensOf(answer.length) }))
    on(ModelEvent.End({ reason: "stop" }))
  })
