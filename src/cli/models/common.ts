import { Array as Arr, Console, Effect, Option } from "effect"
import { hostResources } from "../../capacity.ts"
import { database, sttOptions } from "../../config/variables.ts"
import { isFileModel, type Model, manifest, sizeOf } from "../../models/manifest.ts"
import { ollamaModels, ollamaUrl } from "../../models/ollama.ts"
import { type Role, recommended } from "../../models/recommend.ts"
import { installed, libraryOf } from "../../models/store.ts"
import { isLanguage, primaryLanguage } from "../../text/language.ts"
import { CommandFailed } from "../exit-code.ts"

export const failed = ({ message }: { readonly message: string }) => new CommandFailed({ message })

/** DATA_DIR alone, so that models can be installed before anything else is configured. */
export const library = Effect.map(database.dataDir, libraryOf)

/** The language (ISO 639-1) to recommend for: the given one, or that of STT_LANGUAGE, or English. */
export const spokenLanguage = (given: Option.Option<string>) =>
  Effect.map(sttOptions.sttLanguage, (setting) =>
    Option.getOrElse(
      Option.orElse(given, () => Option.filter(Option.map(setting, primaryLanguage), isLanguage)),
      () => "en",
    ),
  )

/** Another process holds the lock. */
export const sayWaiting = Console.error(
  "Another process changes the models. This one continues when it has ended.",
)

export const roles: ReadonlyArray<Role> = ["vad", "stt", "tts", "llm"]

/** The best models of these roles for the language (ISO 639-1) and this machine. */
export const recommendedHere = (language: string, roles: ReadonlyArray<Role>): ReadonlyArray<Model> =>
  recommended(manifest, { language, host: hostResources(), roles })

/** What to do for a language that no recognizer of the offline engines knows. */
export const withoutRecognizer = (language: string): Option.Option<string> => {
  const isKnown = manifest.some(({ role, languages }) => role === "stt" && languages.includes(language))
  if (isKnown) return Option.none()
  const name = new Intl.DisplayNames("en", { type: "language" }).of(language)
  return Option.some(
    `No offline engine understands ${name}. Set OPENAI_API_KEY, or STT_BASE_URL to a server that does.`,
  )
}

/** A size for people. */
export const sizeText = (model: Model): string => {
  const megabytes = sizeOf(model) / 1e6
  return megabytes < 1000 ? `${Math.ceil(megabytes)} MB` : `${(megabytes / 1000).toFixed(1)} GB`
}

/** Rows of cells, as lines with aligned columns. */
export const table = (rows: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) => {
    const cells = row.map((cell, column) => cell.padEnd(widths[column] ?? 0))
    return cells.join("  ").trimEnd()
  })
}

/** The model with this name. */
export const find = (name: string): Effect.Effect<Model, CommandFailed> =>
  Effect.mapError(
    Arr.findFirst(manifest, (model) => model.name === name),
    () => new CommandFailed({ message: `There is no model "${name}". ./voice-agent models lists them.` }),
  )

/** The folders of the models that are installed, by name. A chat model's is the URL of the Ollama that has it. */
export const installedFolders = Effect.gen(function* () {
  const chat = Option.getOrElse(yield* ollamaModels(ollamaUrl()), (): ReadonlyArray<string> => [])
  const own = yield* library
  const found = yield* Effect.forEach(manifest, (model) => {
    if (!isFileModel(model)) {
      return Effect.succeed(chat.includes(model.ollama) ? [[model.name, ollamaUrl()] as const] : [])
    }
    return Effect.map(
      installed(own, model.name),
      Option.match({ onNone: () => [], onSome: ({ folder }) => [[model.name, folder] as const] }),
    )
  })
  return new Map(found.flat())
})
