import { Console, Effect, Option } from "effect"
import { hostResources } from "../../capacity.ts"
import { type Model, manifest, sizeOf } from "../../models/manifest.ts"
import { print } from "../print.ts"
import {
  installedFolders,
  recommendedHere,
  roles,
  sizeText,
  spokenLanguage,
  table,
  withoutRecognizer,
} from "./common.ts"

const languagesText = ({ languages }: Model) => {
  if (languages.length === 0) return "any"
  return languages.length > 3 ? `${languages.length} languages` : languages.join(", ")
}

/** Prints all models, with what is installed and what is recommended. */
export const list = Effect.fnUntraced(function* (given: Option.Option<string>, json: boolean) {
  const language = yield* spokenLanguage(given)
  const folders = yield* installedFolders
  const host = hostResources()
  const best = recommendedHere(language, roles)
  if (json) {
    for (const model of manifest) {
      const { name, role, description, languages, licence, attribution, needs } = model
      yield* print(true, [], {
        name,
        role,
        description,
        languages,
        bytes: sizeOf(model),
        licence,
        attribution,
        needs,
        isRecommended: best.includes(model),
        isInstalled: folders.has(name),
        folder: folders.get(name) ?? null,
      })
    }
    return
  }
  const stateOf = (model: Model) =>
    [
      ...(folders.has(model.name) ? ["installed"] : []),
      ...(best.includes(model) ? ["recommended"] : []),
    ].join(", ")
  const rows = manifest.map((model) => [
    model.name,
    model.role,
    languagesText(model),
    sizeText(model),
    model.licence,
    stateOf(model),
  ])
  const command = ["./voice-agent models pull", ...(language === "en" ? [] : ["--language", language])].join(
    " ",
  )
  const isComplete = best.every(({ name }) => folders.has(name))
  yield* Console.log(
    [
      ...table([["name", "role", "languages", "size", "licence", "state"], ...rows]),
      "",
      `Recommended: for ${host.cores} cores, ${(host.memory / 1e9).toFixed(1)} GB of memory and the language "${language}".`,
      ...(isComplete ? [] : [`To install the recommended models: ${command}`]),
      ...Option.toArray(withoutRecognizer(language)),
    ].join("\n"),
  )
})
