import { Effect, Option } from "effect"
import type { Settings } from "../../config.ts"
import { libraryOf } from "../../models/store.ts"
import { offlineAdvice } from "../../providers/offline/engines.ts"
import { knowsLanguage, type ModelEngine } from "../../providers/offline/model-engine.ts"
import { OllamaSearch } from "../../providers/offline/ollama.ts"
import { findVoice } from "../../providers/offline/pulled-voice.ts"
import { findRecognizer } from "../../providers/offline/recognizer.ts"
import { searchOllama } from "../../providers/offline/thinking.ts"
import { Stage } from "../../schema.ts"
import { type Finding, ok, problem, warning } from "./finding.ts"

/** The programs of the offline engines, and what is missing without each. */
const programs = {
  flite: { program: "flite", without: "espeak-ng speaks English, less clearly" },
  "espeak-ng": {
    program: "espeak-ng",
    without: "other languages than English are not spoken well, or not at all",
  },
  pocketsphinx: { program: "pocketsphinx_batch", without: "no word of a recording is understood" },
}

const checkProgram = (check: keyof typeof programs): Finding =>
  Bun.which(programs[check].program) === null
    ? warning(
        check,
        `not installed: ${programs[check].without}`,
        `Install it (apt-get install ${check}), or set a key.`,
      )
    : ok(check, "installed")

const pull = (names: string) => `Run: ./voice-agent models pull ${names}`

/** Whether the files of a model are as they should be. */
const checkModel = (check: string, { name, engine }: ModelEngine, otherwise: string) =>
  Effect.match(engine.check, {
    onSuccess: () => ok(check, `${name}, in a process of its own`),
    onFailure: ({ reason }) => warning(check, reason, `Without it ${otherwise}. ${pull(name)}`),
  })

const removeName = (variable: string) => `Install the model, or remove ${variable}.`

/** The recognizer that hears, and whether its files are as they should be. */
const checkHearing = Effect.fn("doctor.hearing")(
  function* ({ dataDir, sttLanguage, stt }: Settings["Type"]) {
    const found = yield* findRecognizer(libraryOf(dataDir), { model: stt.model, language: sttLanguage })
    if (Option.isNone(found)) {
      return [
        warning(
          "hearing",
          "no recognizer is installed, so pocketsphinx hears: a quarter of the words are wrong",
          pull("--default"),
        ),
        checkProgram("pocketsphinx"),
      ]
    }
    const { name, languages } = found.value
    const other = Option.filter(sttLanguage, (language) => !knowsLanguage(languages, language))
    return Option.isSome(other)
      ? [
          problem(
            "hearing",
            `${name} knows ${languages.join(", ")}, and STT_LANGUAGE is "${other.value}"`,
            `${pull(`--stt --language ${other.value}`)}, or set OPENAI_API_KEY.`,
          ),
        ]
      : [yield* checkModel("hearing", found.value, "pocketsphinx hears")]
  },
  Effect.catchTag("ModelMissing", ({ message }) =>
    Effect.succeed([problem("hearing", message, removeName("STT_MODEL"))]),
  ),
)

/** The model that speaks, if there is one, and the programs. */
const checkSpeaking = Effect.fn("doctor.speaking")(
  function* ({ dataDir, tts }: Settings["Type"]) {
    const found = yield* findVoice(libraryOf(dataDir), tts.model)
    const voice = yield* Effect.transposeMapOption(found, (model) =>
      checkModel("speaking", model, "flite and espeak-ng speak"),
    )
    return [...Option.toArray(voice), checkProgram("flite"), checkProgram("espeak-ng")]
  },
  Effect.catchTag("ModelMissing", ({ message }) =>
    Effect.succeed([problem("speaking", message, removeName("TTS_MODEL"))]),
  ),
)

/** The Ollama that would answer, or the one that OLLAMA_HOST names and that does not. */
const checkOllama = Effect.fn("doctor.ollama")(function* (settings: Settings["Type"]) {
  const search = yield* searchOllama(settings)
  if (Option.isNone(search)) return []
  const { url, found } = search.value
  const where = new URL(url).host
  return OllamaSearch.$match(found, {
    Found: ({ model }) => [ok("ollama", `${model} at ${where}`)],
    NoModel: () => [
      warning(
        "ollama",
        `Ollama at ${where} has no model for conversation; the talker answers`,
        "Run: ollama pull llama3.2",
      ),
    ],
    Absent: () =>
      Option.isNone(settings.ollamaUrl)
        ? []
        : [
            warning(
              "ollama",
              `Ollama does not answer at ${where}; the talker answers`,
              "Start it with ollama serve, or correct OLLAMA_HOST.",
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
      `They are for trying the service. ${offlineAdvice(offline)}`,
    ),
    ...(yield* checkOllama(settings)),
    ...(offline.includes("tts") ? yield* checkSpeaking(settings) : []),
    ...(offline.includes("stt") ? yield* checkHearing(settings) : []),
  ]
})
