import type { HostResources } from "../capacity.ts"
import type { Manifest, Model } from "./manifest.ts"

export type Role = Model["role"]

/** What a person speaks, and what the machine has. */
interface Wish {
  /** ISO 639-1, such as `en`. */
  readonly language: string
  readonly host: HostResources
  readonly roles: ReadonlyArray<Role>
}

/** The system and the service need some of the memory that a machine is sold with. */
const memoryShare = 0.9

const knows = ({ languages }: Model, language: string): boolean =>
  languages.length === 0 || languages.includes(language)

const fits = ({ needs }: Model, { cores, memory }: HostResources) =>
  cores >= needs.cores && memory >= needs.memoryMb * 1e6 * memoryShare

/**
 * The best model of each role for the language and the machine; none for a role that has no such model. Speech is
 * detected only for a recognizer.
 */
export const recommended = (models: Manifest, { language, host, roles }: Wish): ReadonlyArray<Model> => {
  const best = roles.flatMap((role) => {
    const found = models.find((model) => model.role === role && knows(model, language) && fits(model, host))
    return found === undefined ? [] : [found]
  })
  const hasRecognizer = best.some(({ role }) => role === "stt")
  return hasRecognizer ? best : best.filter(({ role }) => role !== "vad")
}
