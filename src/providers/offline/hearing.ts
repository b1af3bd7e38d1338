import { Effect, Option } from "effect"
import { primaryLanguage } from "../../text/language.ts"
import { asPause } from "../attempt.ts"
import { finalAnswer, ProviderRefusedRequest, wrongAnswer } from "../errors.ts"
import { offlineStatus } from "../status.ts"
import type { Transcribe } from "../transcriber.ts"
import { fromProgram, type TakeSlot } from "./children.ts"
import { makeEngine } from "./engine/supervisor.ts"
import { knowsLanguage, type ModelEngine } from "./model-engine.ts"
import { makePocketsphinx, type Watch } from "./pocketsphinx.ts"
import { programLanguages, programName } from "./recognizer.ts"

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

  const engineFailed = Option.isSome(engine) ? "engine: failed, and " : ""

  const withPocketsphinx = (bytes: Uint8Array, language: string, watch: Watch) => {
    if (language !== "" && !programLanguages.includes(language)) {
      const reason = `${engineFailed}${programName} does not know the language "${language}"`
      return wrongAnswer("stt", reason, { isRetryable: false })
    }
    return pocketsphinx.transcribe(bytes, watch).pipe(
      Effect.catchTags({
        NotInstalled: () =>
          finalAnswer("stt", "no-recognizer", `${engineFailed}${programName} is not installed`),
        ProgramFailed: (error) => fromProgram("stt", error),
      }),
      Effect.catchAll((error) =>
        "stage" in error ? error : wrongAnswer("stt", `${programName}: ${error.message}`),
      ),
    )
  }

  const transcribe: Transcribe = Effect.fn("Hearing.transcribe")(function* (
    { bytes },
    { language: given, onPause },
    onProgress,
  ) {
    const other = Option.filter(given, (code) => !knowsLanguage(languages, code))
    if (Option.isSome(other)) return yield* unsupported(other.value, languages)
    const language = Option.match(given, { onNone: () => "", onSome: primaryLanguage })
    const watch = { onProgress, onPause }
    const text = yield* Option.match(usable(), {
      onNone: () => withPocketsphinx(bytes, language, watch),
      onSome: ({ run, isUsable }) =>
        // The engine has a limit of its own for each of its steps. A request waits for those of others too.
        asPause(onPause)(run(bytes, { language }, onProgress)).pipe(
          Effect.map((text) => new TextDecoder().decode(text)),
          Effect.catchTags({
            EngineFailed: ({ reason }) =>
              isUsable() ? wrongAnswer("stt", `engine: ${reason}`) : withPocketsphinx(bytes, language, watch),
            RunFailed: () => withPocketsphinx(bytes, language, watch),
          }),
        ),
    })
    return { text }
  })

  /** A failed recognizer serves again once its engine runs. Without one, pocketsphinx is the first choice. */
  const status = () => offlineStatus(engineName(), Option.isSome(engine) && Option.isNone(usable()))

  return { engine: engineName, status, transcribe }
})
