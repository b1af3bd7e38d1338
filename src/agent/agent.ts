import { Context, Duration, Effect, Layer, Option } from "effect"
import { Settings } from "../config.ts"
import { noTools, type ToolOffer } from "../providers/tools.ts"
import type { SessionId } from "../schema.ts"
import type { RunnableTool } from "../tools/runnable.ts"
import { ServiceTools } from "../tools/service-tools.ts"

/** The assistant that answers a turn. Resolved once per turn and passed to each stage; no stage reads global settings. */
export interface Agent {
  /** The system prompt. Empty: none is sent. */
  readonly instructions: string
  readonly hearing: {
    readonly model: string
    /** ISO 639-1. None: the recognizer detects the language. */
    readonly language: Option.Option<string>
    /** A recording with no 60 ms above this level is rejected as silent, in dB below full scale; 0 disables the check. */
    readonly silenceDbfs: number
    readonly maxSeconds: number
  }
  readonly thinking: {
    readonly model: string
    /** None: the server's own. */
    readonly temperature: Option.Option<number>
    /** The limit of a reply. None: the server's own. */
    readonly maxTokens: Option.Option<number>
  }
  /** The tools that the client runs. */
  readonly calling: ToolOffer
  /** The tools that the service runs. One of the client's with the same name takes the place of one of these. */
  readonly acting: {
    readonly tools: ReadonlyArray<RunnableTool>
    /** Rounds of the model in one turn. The last one is offered no tools. */
    readonly maxRounds: number
    /** Of one call. A tool may have less. */
    readonly timeout: Duration.Duration
    /** What is said after a silence of `after` while tools run. None: nothing. */
    readonly filler: {
      readonly after: Option.Option<Duration.Duration>
      /** None: a usual one in the language of the conversation. */
      readonly sentence: Option.Option<string>
    }
  }
  readonly speaking: {
    readonly model: string
    readonly voice: string
    /** The most characters of one request. None: as the segments are. */
    readonly maxCharacters: Option.Option<number>
  }
  /** The part of the session's history that the model sees: the newest whole turns within both limits. `maxTokens` is estimated. */
  readonly history: { readonly maxItems: number; readonly maxTokens: number }
  /** From the end of the upload to the first audio, or to the first text of a reply that is not spoken. */
  readonly firstOutputTimeout: Duration.Duration
}

export class Agents extends Context.Tag("voice-agent/Agents")<
  Agents,
  {
    /** The agent that answers in this session. */
    readonly resolve: (sessionId: SessionId) => Effect.Effect<Agent>
    /** The agent of the configuration. */
    readonly configured: Agent
  }
>() {
  static readonly layer = Layer.effect(
    Agents,
    Effect.gen(function* () {
      const settings = yield* Settings
      const { tools } = yield* ServiceTools
      const { maxRounds, callTimeout, fillerAfter, filler } = settings.tools
      const configured: Agent = {
        instructions: Option.getOrElse(settings.systemPrompt, () => ""),
        hearing: {
          model: settings.stt.model,
          language: settings.sttLanguage,
          silenceDbfs: settings.silenceDbfs,
          maxSeconds: settings.maxAudioSeconds,
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
        history: { maxItems: settings.contextMessages, maxTokens: settings.contextTokens },
        firstOutputTimeout: settings.turnTimeout,
      }
      return { configured, resolve: () => Effect.succeed(configured) }
    }),
  )
}
