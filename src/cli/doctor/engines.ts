import type { Settings } from "../../config.ts"
import { Stage } from "../../schema.ts"
import { type Finding, ok, warning } from "./finding.ts"

/** The programs of the offline engines, and what is missing without each. */
const programs = [
  { check: "flite", program: "flite", stage: "tts", without: "espeak-ng speaks English, less clearly" },
  {
    check: "espeak-ng",
    program: "espeak-ng",
    stage: "tts",
    without: "other languages than English are not spoken well, or not at all",
  },
  {
    check: "pocketsphinx",
    program: "pocketsphinx_batch",
    stage: "stt",
    without: "no word of a recording is understood",
  },
] as const

/** The offline engines, if a stage runs on them. */
export const checkEngines = (settings: Settings["Type"]): ReadonlyArray<Finding> => {
  const offline = Stage.literals.filter((stage) => settings[stage].engine === "offline")
  if (offline.length === 0) return []
  return [
    warning(
      "engines",
      `${offline.join(", ")} on the offline engines`,
      "They are for trying the service. For better ones, set OPENAI_API_KEY, or run Ollama for the language model.",
    ),
    ...programs
      .filter(({ stage }) => offline.includes(stage))
      .map(({ check, program, without }) =>
        Bun.which(program) === null
          ? warning(
              check,
              `not installed: ${without}`,
              `Install it (apt-get install ${check}), or set a key.`,
            )
          : ok(check, "installed"),
      ),
  ]
}
