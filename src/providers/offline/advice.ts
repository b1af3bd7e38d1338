import { Option } from "effect"
import { manifest } from "../../models/manifest.ts"
import { primaryLanguage } from "../../text/language.ts"
import { knowsLanguage, type ModelEngine } from "./model-engine.ts"
import { programLanguages, programName } from "./recognizer.ts"
import { findSherpa } from "./sherpa.ts"

/** What serves the stage of hearing or speaking. */
export interface Serving {
  /** The name of the engine that serves now; `none` if none can. */
  readonly name: string
  /** STT_MODEL or TTS_MODEL. */
  readonly wish: string
  /** STT_LANGUAGE. */
  readonly language: Option.Option<string>
  /** The model that is installed for the stage. It serves, unless its process fails. */
  readonly installed: Option.Option<Pick<ModelEngine, "name" | "languages">>
  /** Whether the optional package that runs models is installed. */
  readonly canRunModels?: boolean
}

const missingPackage =
  "install the npm package sherpa-onnx-node, which runs the models: `bun install`. It exists for Linux with glibc and macOS, on x64 and arm64"

const notRunning = (name: string) => `${name} does not run. \`./voice-agent doctor\` says why.`

/** What to do about a recognizer that does not know the language of STT_LANGUAGE. Commands are in backticks. */
export const otherLanguage = ({
  name,
  languages,
  wish,
  language,
}: {
  readonly name: string
  readonly languages: ReadonlyArray<string>
  /** STT_MODEL. */
  readonly wish: string
  /** STT_LANGUAGE. */
  readonly language: Option.Option<string>
}): Option.Option<{ readonly fault: string; readonly advice: string }> =>
  Option.map(
    Option.filter(language, (code) => !knowsLanguage(languages, code)),
    (code) => {
      const pull = `\`./voice-agent models pull --stt --language ${primaryLanguage(code)}\``
      const canBePulled = manifest.some(
        (model) => model.role === "stt" && knowsLanguage(model.languages, code),
      )
      const advice = !canBePulled
        ? "No offline engine knows it: set OPENAI_API_KEY, or STT_BASE_URL to a server that does."
        : wish === name
          ? `Remove STT_MODEL, run ${pull} and restart.`
          : `Run ${pull} and restart.`
      return { fault: `${name} knows ${languages.join(", ")}, and STT_LANGUAGE is "${code}"`, advice }
    },
  )

const hasRunner = () => Option.isSome(findSherpa())

/** How recordings are understood better, or what the recognizer cannot understand. Commands are in backticks. */
export const hearingAdvice = ({
  name,
  wish,
  language,
  installed,
  canRunModels = hasRunner(),
}: Serving): Option.Option<string> => {
  const recognizer = Option.orElse(installed, () =>
    name === programName ? Option.some({ name, languages: programLanguages }) : Option.none(),
  )
  const other = Option.flatMap(recognizer, (serving) => otherLanguage({ ...serving, wish, language }))
  if (Option.isSome(other) && canRunModels) {
    return Option.some(`${other.value.fault}. ${other.value.advice}`)
  }
  if (Option.isSome(installed)) {
    const { name: model, languages } = installed.value
    if (name !== model) return Option.some(notRunning(model))
    return Option.isNone(language) && languages.length === 1
      ? Option.some(
          `${name} understands English only. For another language, set STT_LANGUAGE and run \`./voice-agent models pull --stt\`.`,
        )
      : Option.none()
  }
  if (wish === name) return Option.none()
  if (wish === "pocketsphinx")
    return Option.some(
      "To be understood, install pocketsphinx, which STT_MODEL names: `apt-get install pocketsphinx pocketsphinx-en-us`.",
    )
  if (!canRunModels) return Option.some(`For better hearing, ${missingPackage}.`)
  const which = knowsLanguage(
    ["en"],
    Option.getOrElse(language, () => "en"),
  )
    ? "--default"
    : "--stt"
  return Option.some(`For better hearing, run \`./voice-agent models pull ${which}\` and restart.`)
}

/** How replies are spoken better. Commands are in backticks. */
export const speakingAdvice = ({
  name,
  wish,
  language,
  installed,
  canRunModels = hasRunner(),
}: Serving): Option.Option<string> => {
  if (Option.isSome(installed)) {
    return name === installed.value.name ? Option.none() : Option.some(notRunning(installed.value.name))
  }
  if (wish === name) return Option.none()
  if (name === "none") return Option.some("To hear words, run `apt-get install flite espeak-ng` and restart.")
  if (!canRunModels) return Option.some(`For a better voice, ${missingPackage}.`)
  const spoken = Option.getOrElse(language, () => "en")
  const hasVoice = manifest.some(({ role, languages }) => role === "tts" && knowsLanguage(languages, spoken))
  return hasVoice
    ? Option.some("For a better voice, run `./voice-agent models pull --tts` and restart.")
    : Option.none()
}

/** How real answers are given. `name`: of what answers. Commands are in backticks. */
export const thinkingAdvice = (
  name: string,
  { ollama }: { readonly ollama: boolean },
): Option.Option<string> => {
  if (name !== "talker") return Option.none()
  return Option.some(
    ollama
      ? "For real answers, run `./voice-agent models pull --llm`, which needs Ollama."
      : "For real answers, set OPENAI_API_KEY, or remove OLLAMA=off and run Ollama.",
  )
}

/** Advice for the log and for `doctor`: OpenAI's engines are always a way. */
export const withKeyAdvice = (advice: ReadonlyArray<string>): string =>
  [...advice, "For OpenAI's engines, set OPENAI_API_KEY."].join(" ")
