import { Effect, Option } from "effect"
import type { Settings } from "../../config.ts"
import { libraryOf } from "../../models/store.ts"
import { offlineAdvice } from "../../providers/offline/engines.ts"
import { OllamaSearch } from "../../providers/offline/ollama.ts"
import { findRecognizer, knowsLanguage } from "../../providers/offline/recognizer.ts"
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

/** The recognizer that hears, and whether its files are as they should be. */
const checkHearing = Effect.fn("doctor.hearing")(function* ({ dataDir, sttLanguage }: Settings["Type"]) {
  const found = yield* findRecognizer(libraryOf(dataDir))
  if (Option.isNone(found)) {
    return [
      warning(
        "hearing",
        "no recognizer is installed, so pocketsphinx hears: a quarter of the words are wrong",
        "Run: ./voice-agent models pull --default",
      ),
      checkProgram("pocketsphinx"),
    ]
  }
  const { name, languages, engine } = found.value
  const other = Option.filter(sttLanguage, (language) => !knowsLanguage(languages, language))
  if (Option.isSome(other)) {
    return [
      problem(
        "hearing",
        `${name} knows ${languages.join(", ")}, and STT_LANGUAGE is "${other.value}"`,
        "Set STT_LANGUAGE=en, or OPENAI_API_KEY for other languages.",
      ),
    ]
  }
  return yield* Effect.match(engine.check, {
    onSuccess: () => [ok("hearing", `${name}, in a process of its own`)],
    onFailure: ({ reason }) => [
      warning("hearing", reason, `Without it pocketsphinx hears. Run: ./voice-agent models pull ${name}`),
    ],
  })
})

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
    ...(offline.includes("tts") ? [checkProgram("flite"), checkProgram("espeak-ng")] : []),
    ...(offline.includes("stt") ? yield* checkHearing(settings) : []),
  ]
})
