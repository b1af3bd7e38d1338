import { Clock, type Data, Duration, Effect, Option, Schedule } from "effect"
import { defaultOllamaUrl } from "../../config/checks.ts"
import type { Settings } from "../../config.ts"
import { type LanguageModel, ModelEvent } from "../language-model.ts"
import type { Lessons } from "../lessons.ts"
import { makeClient } from "../openai/client.ts"
import { generateWith } from "../openai/language-model.ts"
import { offlineStatus, type StageStatus } from "../status.ts"
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

/** The start of the service waits for it. A running Ollama reads its list from disk in some ms. */
const searchTimeout = Duration.seconds(1)

/** Looks for the Ollama of the settings. None if the language model does not run on it. */
export const searchOllama = ({ llm, ollama, ollamaUrl }: OllamaSettings, timeout = searchTimeout) => {
  const url = Option.getOrElse(ollamaUrl, () => defaultOllamaUrl)
  return ollama && llm.engine === "offline"
    ? Effect.map(findOllama(url, llm.model, timeout), (found) => Option.some({ url, found }))
    : Effect.succeedNone
}

/** Ollama loads a model at its first request. That, and a long prompt, takes a CPU longer than a hosted model takes. */
const leastTimeout = Duration.seconds(60)

export interface Thinking {
  readonly generate: LanguageModel["Type"]["generate"]
  /** The name for the log and for people. */
  readonly name: () => string
  readonly status: () => StageStatus
  /** Of one attempt. Without it, that of the settings. */
  readonly timeout?: Duration.Duration
}

/** The rules that answer where no model does. */
export const talker: Thinking = { generate: talk, name: () => "talker", status: () => "ok" }

type Found = Data.TaggedEnum.Value<OllamaSearch, "Found">

/** The model of a local Ollama. */
const ollamaModel = (
  { model, baseUrl, thinks }: Found,
  { llm }: OllamaSettings,
  lessons: Lessons["Type"],
): Pick<Thinking, "generate" | "name"> => {
  const client = makeClient(
    {
      ...llm,
      engine: "compatible",
      baseUrl: Option.some(baseUrl),
      model,
      // Ollama turns thinking on by default: silence to the user, and it uses up the tokens of the answer.
      extraBody: thinks === true ? { reasoning_effort: "none", ...llm.extraBody } : llm.extraBody,
    },
    lessons,
  )
  const generate = generateWith(client)
  return {
    generate: (prompt, options, on) => generate(prompt, { ...options, model }, on),
    name: () => `ollama/${model}`,
  }
}

/** Says once what keeps the talker. That nothing answers is only said if OLLAMA_HOST names an address. */
const explain = ({ ollamaUrl }: OllamaSettings, found: OllamaSearch) => {
  if (OllamaSearch.$is("NoModel")(found)) {
    return Effect.logWarning("provider.ollama_without_model").pipe(
      Effect.annotateLogs({ hint: "Run `./voice-agent models pull --llm`." }),
    )
  }
  if (!OllamaSearch.$is("Absent")(found) || (Option.isNone(ollamaUrl) && !found.isOther)) return Effect.void
  return Effect.logWarning("provider.ollama_absent").pipe(
    Effect.annotateLogs({
      reason: found.reason,
      hint: "Start Ollama, or correct OLLAMA_HOST. OLLAMA=off stops the search.",
    }),
  )
}

/** A search while the service runs: an Ollama that the machine has just started is slow. */
const laterTimeout = Duration.seconds(10)

/** A connection to this machine every 30 s, and sooner at first. */
const searchAgain = Schedule.exponential("1 second").pipe(Schedule.union(Schedule.spaced("30 seconds")))

/**
 * The model of a local Ollama, if one runs; otherwise the talker, until one is found. An Ollama that stops later fails
 * turns as any provider does: a reply of the talker would hide that, and end up in the history.
 */
export const makeThinking = Effect.fn("Thinking.make")(function* (
  settings: OllamaSettings,
  lessons: Lessons["Type"],
) {
  const first = yield* searchOllama(settings)
  if (Option.isNone(first)) return talker
  let current: Pick<Thinking, "generate" | "name"> = talker
  let explained = ""
  const take = Effect.fnUntraced(function* (found: OllamaSearch) {
    if (OllamaSearch.$is("Found")(found)) current = ollamaModel(found, settings, lessons)
    if (found._tag === explained) return
    explained = found._tag
    yield* explain(settings, found)
  })
  yield* take(first.value.found)
  const search = Effect.gen(function* () {
    const again = yield* searchOllama(settings, laterTimeout)
    if (Option.isSome(again)) yield* take(again.value.found)
    if (current === talker) return
    yield* Effect.annotateLogs(Effect.logInfo("provider.ollama_found"), { model: current.name() })
  })
  if (current === talker) {
    yield* Effect.forkScoped(
      Effect.repeat(search, { schedule: searchAgain, until: () => current !== talker }),
    )
  }
  const thinking: Thinking = {
    generate: (prompt, options, on) => current.generate(prompt, options, on),
    name: () => current.name(),
    // OLLAMA_HOST names the engine that should serve.
    status: () => offlineStatus(current.name(), current === talker && Option.isSome(settings.ollamaUrl)),
    timeout: Duration.max(settings.llm.timeout, leastTimeout),
  }
  return thinking
})
