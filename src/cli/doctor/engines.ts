import { Effect, Logger, LogLevel, Option } from "effect"
import type { Settings } from "../../config.ts"
import { libraryOf } from "../../models/store.ts"
import {
  hearingAdvice,
  otherLanguage,
  speakingAdvice,
  thinkingAdvice,
} from "../../providers/offline/advice.ts"
import { makeEngine } from "../../providers/offline/engine/supervisor.ts"
import type { ModelEngine } from "../../providers/offline/model-engine.ts"
import { OllamaSearch } from "../../providers/offline/ollama.ts"
import { findVoice } from "../../providers/offline/pulled-voice.ts"
import { findRecognizer } from "../../providers/offline/recognizer.ts"
import { searchOllama } from "../../providers/offline/thinking.ts"
import { Stage } from "../../schema.ts"
import { type Finding, ok, problem, warning } from "./finding.ts"

/** The programs of the offline engines, and what is missing without each. */
const checkedPrograms = {
  flite: { program: "flite", without: "espeak-ng speaks English, less clearly" },
  "espeak-ng": {
    program: "espeak-ng",
    without: "other languages than English are not spoken well, or not at all",
  },
  pocketsphinx: { program: "pocketsphinx_batch", without: "no word of a recording is understood" },
}

const checkProgram = (check: keyof typeof checkedPrograms): Finding =>
  Bun.which(checkedPrograms[check].program) === null
    ? warning(
        check,
        `not installed: ${checkedPrograms[check].without}`,
        `Install it (apt-get install ${check}), or set a key.`,
      )
    : ok(check, "installed")

const pull = (names: string) => `Run: ./voice-agent models pull ${names}`

/** What a model is tried on: no sound to hear, or a word to say. */
const trials = { hearing: new Uint8Array(), speaking: new TextEncoder().encode("Hello.") }

const runs = (check: keyof typeof trials, { engine }: ModelEngine) =>
  Effect.scoped(
    Effect.flatMap(makeEngine(engine), ({ run }) => run(trials[check], { language: "en", speaker: 0 })),
  ).pipe(Logger.withMinimumLogLevel(LogLevel.None))

const describe = ({ name, languages }: ModelEngine) =>
  languages.length === 1 && languages[0] === "en" ? `${name}, English only` : name

/** Whether the files of a model are as they should be, and its process loads and runs it. */
const checkModel = (check: keyof typeof trials, model: ModelEngine, otherwise: string) =>
  model.engine.check.pipe(
    Effect.mapError(({ reason }) => warning(check, reason, `Without it ${otherwise}. ${pull(model.name)}`)),
    Effect.zipRight(
      Effect.mapError(runs(check, model), ({ reason }) =>
        warning(
          check,
          `${model.name} does not run: ${reason}`,
          `Without it ${otherwise}. Reinstall sherpa-onnx-node with bun install --force.`,
        ),
      ),
    ),
    Effect.match({
      onSuccess: () => ok(check, `${describe(model)}, in a process of its own`),
      onFailure: (finding) => finding,
    }),
  )

const removeName = (variable: string) => `Install the model, or remove ${variable}.`

/** What the programs do, with the advice that the log and the page give. Nothing to advise: the settings name the program. */
const programsServe = (check: string, found: string, advice: Option.Option<string>): Finding =>
  Option.match(advice, {
    onNone: () => ok(check, found),
    onSome: (text) => warning(check, found, withoutMarks(text)),
  })

/** The page shows what is between backticks as code. */
const withoutMarks = (advice: string) => advice.replaceAll("`", "")

const firstOf = (programs: ReadonlyArray<keyof typeof checkedPrograms>) =>
  programs.find((name) => Bun.which(checkedPrograms[name].program) !== null) ?? "none"

/** The recognizer that hears, and whether its files are as they should be. */
const checkHearing = Effect.fn("doctor.hearing")(
  function* ({ dataDir, sttLanguage, stt }: Settings["Type"]) {
    const installed = yield* findRecognizer(libraryOf(dataDir), { model: stt.model, language: sttLanguage })
    const name = firstOf(["pocketsphinx"])
    if (Option.isNone(installed)) {
      const found =
        name === "none"
          ? "nothing hears"
          : "no model hears, so pocketsphinx does: a quarter of the words are wrong"
      const advice = hearingAdvice({ name, wish: stt.model, language: sttLanguage, installed })
      return [programsServe("hearing", found, advice), checkProgram("pocketsphinx")]
    }
    const other = otherLanguage({ ...installed.value, wish: stt.model, language: sttLanguage })
    return Option.isSome(other)
      ? [problem("hearing", other.value.fault, withoutMarks(other.value.advice))]
      : [yield* checkModel("hearing", installed.value, "pocketsphinx hears")]
  },
  Effect.catchTag("ModelMissing", ({ message }) =>
    Effect.succeed([problem("hearing", message, removeName("STT_MODEL"))]),
  ),
)

/** The model that speaks, if there is one, and the programs. */
const checkSpeaking = Effect.fn("doctor.speaking")(
  function* ({ dataDir, sttLanguage, tts }: Settings["Type"]) {
    const installed = yield* findVoice(libraryOf(dataDir), tts.model)
    const name = tts.model === "espeak-ng" ? firstOf(["espeak-ng"]) : firstOf(["flite", "espeak-ng"])
    const advice = speakingAdvice({ name, wish: tts.model, language: sttLanguage, installed })
    const voice = Option.isSome(installed)
      ? yield* checkModel("speaking", installed.value, "flite and espeak-ng speak")
      : programsServe("speaking", name === "none" ? "nothing speaks" : `${name} speaks`, advice)
    return [voice, checkProgram("flite"), checkProgram("espeak-ng")]
  },
  Effect.catchTag("ModelMissing", ({ message }) =>
    Effect.succeed([problem("speaking", message, removeName("TTS_MODEL"))]),
  ),
)

/** The Ollama that would answer, or the one that OLLAMA_HOST names and that does not. */
const checkOllama = Effect.fn("doctor.ollama")(function* (settings: Settings["Type"]) {
  const search = yield* searchOllama(settings)
  const talks = programsServe("llm", "the built-in talker answers", thinkingAdvice("talker", settings))
  if (Option.isNone(search)) return settings.llm.engine === "offline" ? [talks] : []
  const { url, found } = search.value
  const where = new URL(url).host
  return OllamaSearch.$match(found, {
    Found: ({ model }) => [ok("ollama", `${model} at ${where}`)],
    NoModel: () => [
      warning(
        "ollama",
        `Ollama at ${where} has no model for conversation; the talker answers`,
        pull("--llm"),
      ),
    ],
    Absent: ({ reason, isOther }) =>
      Option.isNone(settings.ollamaUrl) && !isOther
        ? [talks]
        : [
            warning(
              "ollama",
              `${where} ${reason}; the talker answers`,
              "Start Ollama with ollama serve, or correct OLLAMA_HOST.",
            ),
          ],
  })
})

/** The offline engines, if a stage runs on them. */
export const checkEngines = Effect.fn("doctor.engines")(function* (settings: Settings["Type"]) {
  const offline = Stage.literals.filter((stage) => settings[stage].engine === "offline")
  if (offline.length === 0) return []
  return [
    warning(
      "engines",
      `${offline.join(", ")} on the offline engines`,
      "They are for trying the service. For OpenAI's engines, set OPENAI_API_KEY.",
    ),
    ...(yield* checkOllama(settings)),
    ...(offline.includes("tts") ? yield* checkSpeaking(settings) : []),
    ...(offline.includes("stt") ? yield* checkHearing(settings) : []),
  ]
})
