import * as BunFileSystem from "@effect/platform-bun/BunFileSystem"
import { Effect, Option, Schema } from "effect"
import { makeStartFfmpeg } from "../../ffmpeg/sandbox.ts"
import type { Library } from "../../models/store.ts"
import type { Stage } from "../../schema.ts"
import { hearingAdvice, speakingAdvice, thinkingAdvice } from "./advice.ts"
import { makeSlots } from "./children.ts"
import { makeHearing } from "./hearing.ts"
import { findVoice } from "./pulled-voice.ts"
import { findRecognizer, type HearingOptions } from "./recognizer.ts"
import { makeSpeaking, type SpeakingOptions } from "./speaking.ts"
import type { Thinking } from "./thinking.ts"

/** The engines cannot run on this machine. The message is one sentence for the operator. */
export class OfflineEnginesFailed extends Schema.TaggedError<OfflineEnginesFailed>()("OfflineEnginesFailed", {
  message: Schema.String,
}) {}

/**
 * The three stages on this machine. The child processes of a request end with it, and the scope closes after
 * all of them. `searchPath`: the folders to search for the programs; default PATH.
 */
export const makeOfflineEngines = Effect.fn("OfflineEngines.make")(function* ({
  stages,
  ...options
}: {
  readonly ffmpegPath: string
  /** Those that run on the engines. The process of a model takes 250 MB or more, so it starts only if it is used. */
  readonly stages: ReadonlyArray<Stage>
  readonly hearing: HearingOptions
  readonly speaking: SpeakingOptions
  /** Where the models of the engines are. */
  readonly library: Library
  readonly thinking: Thinking
  /** OLLAMA: whether a local Ollama is looked for. */
  readonly ollama?: boolean
  readonly searchPath?: string
}) {
  const searchPath = options.searchPath ?? process.env.PATH ?? ""
  const ffmpeg = Bun.which(options.ffmpegPath, { PATH: searchPath })
  if (ffmpeg === null) {
    return yield* new OfflineEnginesFailed({
      message: `The offline engines need ffmpeg, and "${options.ffmpegPath}" is not a program here.`,
    })
  }
  const takeSlot = yield* makeSlots
  const { library } = options
  const recognizer = stages.includes("stt") ? yield* findRecognizer(library, options.hearing) : Option.none()
  const voice = stages.includes("tts") ? yield* findVoice(library, options.speaking.model) : Option.none()
  const hearing = yield* makeHearing({ searchPath, takeSlot, recognizer })
  const speaking = yield* makeSpeaking({
    startFfmpeg: makeStartFfmpeg(ffmpeg),
    searchPath,
    takeSlot,
    voice,
    wish: options.speaking,
  })
  const names = { stt: hearing.engine, llm: options.thinking.name, tts: speaking.engine }
  const { language } = options.hearing
  return {
    transcribe: hearing.transcribe,
    generate: options.thinking.generate,
    speak: speaking.speak,
    /** The names of what hears, thinks and speaks now. */
    names,
    /** How they fare. */
    statuses: { stt: hearing.status, llm: options.thinking.status, tts: speaking.status },
    /** What would serve each stage better now: sentences for the operator. */
    advice: {
      stt: () =>
        hearingAdvice({ name: names.stt(), wish: options.hearing.model, language, installed: recognizer }),
      llm: () => thinkingAdvice(names.llm(), { ollama: options.ollama ?? true }),
      tts: () =>
        speakingAdvice({ name: names.tts(), wish: options.speaking.model, language, installed: voice }),
    },
    /** Of one attempt. Undefined: that of the settings. */
    timeouts: { stt: undefined, llm: options.thinking.timeout, tts: undefined },
  }
}, Effect.provide(BunFileSystem.layer))
