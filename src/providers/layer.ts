import { Context, Duration, Effect, Layer, Option } from "effect"
import { type ServerSettings, Settings } from "../config.ts"
import { Ffmpeg } from "../ffmpeg/ffmpeg.ts"
import { libraryOf } from "../models/store.ts"
import { Stage } from "../schema.ts"
import { asPause } from "./attempt.ts"
import { cleanReplies, LanguageModel } from "./language-model.ts"
import { Lessons } from "./lessons.ts"
import { withKeyAdvice } from "./offline/advice.ts"
import { makeOfflineEngines } from "./offline/engines.ts"
import { makeThinking } from "./offline/thinking.ts"
import { makeOpenThinkers } from "./open-thinkers.ts"
import { makeClient, type OpenAiClient } from "./openai/client.ts"
import { generateWith } from "./openai/language-model.ts"
import { speakWith } from "./openai/synthesizer.ts"
import { transcribeWith } from "./openai/transcriber.ts"
import { retryPolicy } from "./retry.ts"
import { makeServers, type Servers } from "./servers.ts"
import { Synthesizer } from "./synthesizer.ts"
import { type Transcribe, Transcriber } from "./transcriber.ts"

type Generate = LanguageModel["Type"]["generate"]
type Speak = Synthesizer["Type"]["speak"]

const makeTranscriber = ({ attempt, ...state }: Servers<Transcribe>): Transcriber["Type"] => ({
  transcribe: Effect.fn("Transcriber.transcribe")((speech, options) =>
    attempt(options, (transcribe, its, onProgress, onLife, onPause) =>
      transcribe(speech, { ...its, onLife, onPause }, onProgress),
    ).pipe(
      Effect.retry(retryPolicy()),
      Effect.map(({ text }) => ({ text: text.toWellFormed() })),
    ),
  ),
  ...state,
})

const makeLanguageModel = ({ attempt, ...state }: Servers<Generate>): LanguageModel["Type"] => ({
  generate: Effect.fn("LanguageModel.generate")((prompt, options, on) =>
    attempt(options, (generate, its, onProgress, onLife) =>
      Effect.suspend(() => {
        const seen: Record<string, unknown> = {}
        return Effect.ensuring(
          generate(prompt, its, (event) => {
            on(event)
            if (event._tag === "Text" || event._tag === "ToolCall") onProgress()
            else onLife()
            if (event._tag === "Usage") {
              seen["gen_ai.usage.input_tokens"] = event.inputTokens
              seen["gen_ai.usage.output_tokens"] = event.outputTokens
            } else if (event._tag === "End") seen["gen_ai.response.finish_reasons"] = [event.reason]
          }),
          Effect.suspend(() => Effect.annotateCurrentSpan(seen)),
        )
      }),
    ),
  ),
  ...state,
})

const makeSynthesizer = ({ attempt, ...state }: Servers<Speak>): Synthesizer["Type"] => ({
  speak: Effect.fn("Synthesizer.speak")((text, options, open) =>
    attempt(
      { ...options, onRequest: (served) => options.onRequest?.(served, text) },
      (speak, its, onProgress, onLife, onPause) => {
        const conversionSlot = asPause(onPause)(its.conversionSlot ?? Effect.void)
        // A cut at a place without words may split a surrogate pair.
        return speak(text.toWellFormed(), { ...its, conversionSlot, onLife, onPause }, () => {
          const take = open()
          return (audio) => {
            const isPlayable = take(audio)
            if (isPlayable) onProgress()
            return isPlayable
          }
        })
      },
    ),
  ),
  ...state,
})

const startOfflineEngines = Effect.fnUntraced(function* (
  settings: Settings["Type"],
  lessons: Lessons["Type"],
) {
  const thinking = yield* makeThinking(settings, lessons)
  const stages = Stage.literals.filter((stage) => settings[stage].engine === "offline")
  const engines = yield* makeOfflineEngines({
    stages,
    ffmpegPath: settings.ffmpegPath,
    thinking,
    ollama: settings.ollama,
    library: libraryOf(settings.dataDir),
    hearing: { model: settings.stt.model, language: settings.sttLanguage },
    speaking: { model: settings.tts.model, language: settings.sttLanguage },
  })
  const doing = { stt: "hearing", llm: "thinking", tts: "speaking" } as const
  yield* Effect.logWarning("provider.offline").pipe(
    Effect.annotateLogs({
      hint: withKeyAdvice(stages.flatMap((stage) => Option.toArray(engines.advice[stage]()))),
      stages: stages.join(","),
      ...Object.fromEntries(stages.map((stage) => [doing[stage], engines.names[stage]()])),
    }),
  )
  return engines
})

/** The three ports on the servers of the settings. The offline engines start where a stage needs them. */
export const layer = Layer.scopedContext(
  Effect.gen(function* () {
    const settings = yield* Settings
    const lessons = yield* Lessons
    const { startConversion } = yield* Ffmpeg
    const engines = yield* Effect.cached(startOfflineEngines(settings, lessons))
    const servers = <Call>(
      stage: Stage,
      openai: (client: OpenAiClient) => Call,
      offline: (engines: Effect.Effect.Success<ReturnType<typeof startOfflineEngines>>) => Call,
    ) =>
      makeServers(
        stage,
        settings[stage],
        settings,
        (server: ServerSettings) =>
          server.engine === "offline"
            ? Effect.map(engines, (own) => ({
                call: offline(own),
                model: own.names[stage],
                advice: own.advice[stage],
                status: own.statuses[stage],
                timeout: own.timeouts[stage],
                // Ollama is a server of its own, which may be silent for long.
                isSupervised: stage !== "llm",
              }))
            : Effect.succeed({ call: openai(makeClient(server, lessons)) }),
        // Elsewhere the only signs of life are refusals, of which there are few.
        stage === "llm" ? settings.llmThinkingTimeout : Duration.infinity,
      )
    const transcribe = yield* servers(
      "stt",
      (client) => transcribeWith(client, settings.sttResponseFormat),
      (own) => own.transcribe,
    )
    const generate = yield* servers(
      "llm",
      (client) =>
        cleanReplies(
          generateWith(client),
          makeOpenThinkers((model) => lessons.of({ stage: "llm", baseUrl: client.sdk.baseURL, model })),
        ),
      (own) => cleanReplies(own.generate),
    )
    const speak = yield* servers(
      "tts",
      (client) => speakWith(client, { startConversion, format: settings.ttsFormat }),
      (own) => own.speak,
    )
    return Context.make(Transcriber, makeTranscriber(transcribe)).pipe(
      Context.add(LanguageModel, makeLanguageModel(generate)),
      Context.add(Synthesizer, makeSynthesizer(speak)),
    )
  }),
)
