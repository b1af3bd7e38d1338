import { Effect, Option } from "effect"
import { primaryLanguage } from "../../text/language.ts"
import { ProviderRefusedRequest, wrongAnswer } from "../errors.ts"
import type { Transcribe } from "../transcriber.ts"
import type { TakeSlot } from "./children.ts"
import { makeEngine } from "./engine/supervisor.ts"
import { knowsLanguage, type ModelEngine } from "./model-engine.ts"
import { makePocketsphinx } from "./pocketsphinx.ts"
import { programName } from "./recognizer.ts"

/** The languages of pocketsphinx. */
const programLanguages = ["en"]

const unsupported = (language: string, known: ReadonlyArray<string>) =>
  new ProviderRefusedRequest({
    stage: "stt",
    message: `The offline speech recognition does not know the language "${language}", only ${known.join(", ")}. Run ./voice-agent models pull --stt --language ${primaryLanguage(language)} and start the service again, or set OPENAI_API_KEY.`,
  })

/** Speech recognition on this machine: the recognizer in its engine while that runs, otherwise pocketsphinx. */
export const makeHearing = Effect.fn("Hearing.make")(function* (options: {
  readonly searchPath: string
  readonly takeSlot: TakeSlot
  readonly recognizer: Option.Option<ModelEngine>
}) {
  const { recognizer } = options
  const engine = yield* Effect.transposeMapOption(recognizer, (found) => makeEngine(found.engine))
  const pocketsphinx = yield* makePocketsphinx(options)
  const languages = Option.match(recognizer, {
    onNone: () => programLanguages,
    onSome: ({ languages }) => languages,
  })
  const usable = () => Option.filter(engine, ({ isUsable }) => isUsable())

  /** The name of the recognizer that hears the next request. */
  const engineName = () =>
    Option.isSome(usable())
      ? Option.match(recognizer, { onNone: () => "none", onSome: ({ name }) => name })
      : pocketsphinx.isInstalled
        ? programName
        : "none"

  /** Why pocketsphinx cannot take over from an engine that failed. Without an engine it always hears. */
  const cannotTakeOver = (language: string) => {
    if (language !== "" && !programLanguages.includes(language))
      return `does not know the language "${language}"`
    return Option.isSome(engine) && !pocketsphinx.isInstalled ? "is not installed" : undefined
  }

  const withPocketsphinx = (bytes: Uint8Array, language: string) => {
    const reason = cannotTakeOver(language)
    return reason === undefined
      ? Effect.mapError(pocketsphinx.transcribe(bytes), (error) =>
          wrongAnswer("stt", error._tag === "ProgramFailed" ? `pocketsphinx: ${error.reason}` : error._tag),
        )
      : wrongAnswer("stt", `engine: failed, and ${programName} ${reason}`)
  }

  const transcribe: Transcribe = Effect.fn("Hearing.transcribe")(function* (
    { bytes },
    { language: given },
    onProgress,
  ) {
    const other = Option.filter(given, (code) => !knowsLanguage(languages, code))
    if (Option.isSome(other)) return yield* unsupported(other.value, languages)
    const language = Option.match(given, { onNone: () => "", onSome: primaryLanguage })
    const text = yield* Option.match(usable(), {
      onNone: () => withPocketsphinx(bytes, language),
      onSome: ({ run, isUsable }) =>
        run(bytes, { language }, onProgress).pipe(
          Effect.map((text) => new TextDecoder().decode(text)),
          Effect.catchAll(({ reason }) =>
            isUsable() ? wrongAnswer("stt", `engine: ${reason}`) : withPocketsphinx(bytes, language),
          ),
        ),
    })
    return { text }
  })

  return { engine: engineName, transcribe }
})
