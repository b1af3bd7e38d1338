import { Clock, Duration, Effect, Option } from "effect"
import { defaultOllamaUrl } from "../../config/checks.ts"
import type { Settings } from "../../config.ts"
import { type LanguageModel, ModelEvent } from "../language-model.ts"
import type { Lessons } from "../lessons.ts"
import { makeClient } from "../openai/client.ts"
import { generateWith } from "../openai/language-model.ts"
import { estimateTokens } from "../tokens.ts"
import { findOllama, OllamaSearch } from "./ollama.ts"
import { reply } from "./talker.ts"

/** The talker's reply, word by word. */
const talk: LanguageModel["Type"]["generate"] = ({ instructions, messages }, _, on) =>
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

type OllamaSettings = Pick<Settings["Type"], "llm" | "ollama" | "ollamaUrl">

/** Looks for the Ollama of the settings. None if the language model does not run on it. */
export const searchOllama = ({ llm, ollama, ollamaUrl }: OllamaSettings) => {
  const url = Option.getOrElse(ollamaUrl, () => defaultOllamaUrl)
  return ollama && llm.engine === "offline"
    ? Effect.map(findOllama(url, llm.model), (found) => Option.some({ url, found }))
    : Effect.succeedNone
}

/** Ollama loads a model at its first request. That, and a long prompt, takes a CPU longer than a hosted model takes. */
const leastTimeout = Duration.seconds(60)

export interface Thinking {
  readonly generate: LanguageModel["Type"]["generate"]
  /** The name for the log and for people. */
  readonly name: string
  /** Of one attempt. Without it, that of the settings. */
  readonly timeout?: Duration.Duration
}

/** The rules that answer where no model does. */
export const talker: Thinking = { generate: talk, name: "talker" }

/**
 * The model of a local Ollama, if one runs; otherwise the talker. It is looked for once. An Ollama that stops later fails
 * turns as any provider does: a reply of the talker would hide that, and end up in the history.
 */
export const makeThinking = Effect.fn("Thinking.make")(function* (
  settings: OllamaSettings,
  lessons: Lessons["Type"],
) {
  const { llm } = settings
  const search = yield* searchOllama(settings)
  if (Option.isNone(search)) return talker
  const { found } = search.value
  if (OllamaSearch.$is("NoModel")(found)) {
    yield* Effect.logWarning("provider.ollama_without_model").pipe(
      Effect.annotateLogs({ hint: "Run `./voice-agent models pull --llm`, and start the service again." }),
    )
  }
  if (!OllamaSearch.$is("Found")(found)) return talker
  const { model, baseUrl, thinks = false } = found
  const client = makeClient(
    {
      ...llm,
      engine: "compatible",
      baseUrl: Option.some(baseUrl),
      model,
      // Ollama turns thinking on by default: silence to the user, and it uses up the tokens of the answer.
      extraBody: thinks ? { reasoning_effort: "none", ...llm.extraBody } : llm.extraBody,
    },
    lessons,
  )
  const generate = generateWith(client)
  const thinking: Thinking = {
    generate: (prompt, options, on) => generate(prompt, { ...options, model }, on),
    name: `ollama/${model}`,
    timeout: Duration.max(llm.timeout, leastTimeout),
  }
  return thinking
})
