import { Duration, Option } from "effect"
import type { Settings } from "../config.ts"
import { noTools } from "../providers/tools.ts"
import type { RunnableTool } from "../tools/runnable.ts"
import type { Agent } from "./agent.ts"
import type { StoredDefinition } from "./read-definition.ts"

/** The agent of the configuration, which answers in sessions without one of their own. */
export const configuredAgent = (settings: Settings["Type"], tools: ReadonlyArray<RunnableTool>): Agent => {
  const { maxRounds, callTimeout, fillerAfter, filler } = settings.tools
  return {
    origin: Option.none(),
    instructions: Option.getOrElse(settings.systemPrompt, () => ""),
    greeting: Option.none(),
    hearing: {
      model: settings.stt.model,
      language: settings.sttLanguage,
      silenceDbfs: settings.silenceDbfs,
      maxSeconds: settings.maxAudioSeconds,
      keyTerms: [],
    },
    thinking: {
      model: settings.llm.model,
      temperature: settings.llmTemperature,
      maxTokens: settings.llmMaxTokens,
    },
    calling: noTools,
    acting: {
      tools,
      maxRounds,
      timeout: callTimeout,
      filler: {
        after: Option.liftPredicate(fillerAfter, Duration.greaterThan(Duration.zero)),
        sentence: filler,
      },
    },
    speaking: {
      model: settings.tts.model,
      voice: settings.ttsVoice,
      maxCharacters: settings.ttsMaxCharacters,
    },
    history: {
      maxItems: settings.contextMessages,
      maxTokens: settings.contextTokens,
      isSummarized: settings.contextSummaries,
    },
    firstOutputTimeout: settings.turnTimeout,
  }
}

/** The agent of the configuration, in the form of those of users. */
export const configuredDefinition = ({
  instructions,
  hearing,
  thinking,
  speaking,
  history,
  acting,
}: Agent): StoredDefinition => ({
  name: "Default",
  instructions,
  languages: Option.toArray(hearing.language),
  stt: { model: hearing.model },
  llm: {
    model: thinking.model,
    ...Option.match(thinking.temperature, {
      onNone: () => ({}),
      onSome: (temperature) => ({ temperature }),
    }),
  },
  tts: { model: speaking.model, voice: speaking.voice },
  limits: {
    ...Option.match(thinking.maxTokens, {
      onNone: () => ({}),
      onSome: (replyTokens) => ({ replyTokens }),
    }),
    contextMessages: history.maxItems,
    contextTokens: history.maxTokens,
    toolRounds: acting.maxRounds,
    toolSeconds: Duration.toSeconds(acting.timeout),
  },
  tools: acting.tools.map(({ tool: { name } }) => ({ type: "builtin", name })),
  keyTerms: [],
})
