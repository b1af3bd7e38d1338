import * as Prompt from "@effect/cli/Prompt"
import { Array as Arr, Console, Effect, Either, Option } from "effect"
import { type ChatModel, type FileModel, isFileModel, type Model, manifest } from "../../models/manifest.ts"
import { noOllama, ollamaModels, ollamaUrl, pullChatModel } from "../../models/ollama.ts"
import { pull as pullFiles } from "../../models/pull.ts"
import type { Role } from "../../models/recommend.ts"
import { npmSettings } from "../../models/registry.ts"
import { originsOf } from "../../models/source.ts"
import { CommandFailed, ExitWith } from "../exit-code.ts"
import { print } from "../print.ts"
import {
  failed,
  find,
  installedFolders,
  library,
  recommendedHere,
  roles,
  sayWaiting,
  sizeText,
  spokenLanguage,
  table,
  withoutRecognizer,
} from "./common.ts"
import { makeProgressPrinter, type ProgressPrinter } from "./progress.ts"

interface Given {
  readonly names: ReadonlyArray<string>
  readonly language: Option.Option<string>
  readonly isDefault: boolean
  readonly stt: boolean
  readonly tts: boolean
  readonly llm: boolean
  readonly from: Option.Option<string>
  readonly yes: boolean
  readonly json: boolean
}

type PullOptions = Omit<Given, "language"> & { readonly language: string }

/** A recognizer does not run without the detector of speech. */
const withDetector = (models: ReadonlyArray<Model>): ReadonlyArray<Model> => {
  const needsDetector =
    models.some(({ role }) => role === "stt") && !models.some(({ role }) => role === "vad")
  return needsDetector ? [...manifest.filter(({ role }) => role === "vad").slice(0, 1), ...models] : models
}

/** The models that are named, or recommended for the roles that are asked for. */
const choose = ({ names, language, isDefault, stt, tts, llm }: PullOptions) => {
  if (names.length > 0) return Effect.map(Effect.forEach(Arr.dedupe(names), find), withDetector)
  if (isDefault) return Effect.succeed(manifest.filter((model) => isFileModel(model) && model.isDefault))
  const asked: Record<Role, boolean> = { vad: stt, stt, tts, llm }
  const some = roles.filter((role) => asked[role])
  return Effect.succeed(recommendedHere(language, some.length > 0 ? some : roles))
}

/** Says, on stderr, what no model does for the language. Fails if there is nothing to download. */
const sayMissing = Effect.fnUntraced(function* (
  models: ReadonlyArray<Model>,
  { names, isDefault, language, stt, tts, llm }: PullOptions,
) {
  if (names.length > 0 || isDefault) return
  const isForHearing = stt || (!tts && !llm)
  const missing = [
    ...(isForHearing ? Option.toArray(withoutRecognizer(language)) : []),
    ...(tts && !models.some(({ role }) => role === "tts")
      ? ["No voice suits this language and machine: flite and espeak-ng, which are programs, speak."]
      : []),
  ]
  if (models.length > 0) return yield* Effect.forEach(missing, (line) => Console.error(line))
  const message = ["There is no model to download.", ...missing].join(" ")
  return yield* new CommandFailed({ message })
})

/** Without Ollama, a recommended chat model is left out, because speech models are of use without one. */
const withoutOllama = Effect.fnUntraced(function* (
  models: ReadonlyArray<Model>,
  { names, llm, json }: PullOptions,
) {
  const files = models.filter(isFileModel)
  if (files.length === models.length || Option.isSome(yield* ollamaModels(ollamaUrl()))) return models
  const { message } = noOllama(ollamaUrl())
  if (names.length > 0 || llm) return yield* new CommandFailed({ message })
  if (!json) yield* Console.log(`No language model is installed. ${message}\n`)
  return files
})

/** Shows sizes and licences, and asks. Fails if nobody can answer. */
const confirm = Effect.fnUntraced(function* (models: ReadonlyArray<Model>, { yes, json }: PullOptions) {
  if (!json) {
    const rows = models.map((model) => [model.name, sizeText(model), model.licence, model.attribution])
    yield* Console.log(table([["name", "size", "licence", "made by"], ...rows]).join("\n"))
  }
  if (yes) return
  if (json || !process.stdin.isTTY) {
    return yield* new CommandFailed({ message: "Nothing was downloaded. Add --yes to accept the licences." })
  }
  const isAccepted = yield* Prompt.confirm({ message: "Download under these licences?", initial: true })
  if (!isAccepted) return yield* new ExitWith({ code: 1 })
})

const pullChat = Effect.fnUntraced(function* (
  model: ChatModel,
  { json }: PullOptions,
  { onProgress, end }: ProgressPrinter,
) {
  const { name } = model
  yield* pullChatModel(ollamaUrl(), model, (item, received, size) =>
    onProgress({ model: name, item, received, size }),
  ).pipe(Effect.ensuring(Effect.sync(end)), Effect.mapError(failed))
  yield* print(json, [`Ollama has ${model.ollama}.`], {
    event: "installed",
    model: name,
    ollama: model.ollama,
  })
})

const pullModel = Effect.fnUntraced(function* (
  model: FileModel,
  { from, json }: PullOptions,
  { onProgress, onPause, end }: ProgressPrinter,
) {
  const { name } = model
  const { folder, isNew, pinned } = yield* pullFiles(model, {
    library: yield* library,
    origins: originsOf(yield* Effect.promise(() => npmSettings()), from),
    onProgress,
    onPause,
    onWait: sayWaiting,
  }).pipe(Effect.ensuring(Effect.sync(end)), Effect.mapError(failed))
  const lines = [
    isNew ? `Installed ${name} in ${folder}. ${model.description}` : `${name} is installed in ${folder}.`,
    ...pinned.map(
      (file) =>
        `The SHA-256 of ${file} is not known to this version. The hash of this download is kept, and later downloads must have the same.`,
    ),
  ]
  yield* print(json, lines, { event: "installed", model: name, folder, isNew, pinned })
})

/** Options that contradict each other. */
const conflictOf = ({ names, isDefault, stt, tts, llm, from }: Given): string | undefined => {
  const isChat = names.some((name) => manifest.some((model) => model.name === name && !isFileModel(model)))
  if (Option.isSome(from) && (llm || isChat))
    return "Ollama downloads language models itself, and --from has none. Pull them without --from."
  if (isDefault && (stt || tts || llm))
    return "--default does not work with --stt, --tts or --llm. Leave out one of them."
  return undefined
}

/** Downloads models. Installed ones are checked, and mended. */
export const pull = Effect.fnUntraced(function* (given: Given) {
  const conflict = conflictOf(given)
  if (conflict !== undefined) return yield* new CommandFailed({ message: conflict })
  const options = { ...given, language: yield* spokenLanguage(given.language) }
  const chosen = yield* choose(options)
  yield* sayMissing(chosen, options)
  const models = yield* withoutOllama(chosen, options)
  const folders = yield* installedFolders
  const missing = models.filter(({ name }) => !folders.has(name))
  if (missing.length > 0) yield* confirm(missing, options)
  const kind = options.json ? "json" : process.stdout.isTTY ? "terminal" : "lines"
  const printer = makeProgressPrinter(kind, (text) => process.stdout.write(text))
  const failures: Array<string> = []
  for (const model of models) {
    const result = yield* isFileModel(model)
      ? Effect.either(pullModel(model, options, printer))
      : Effect.either(pullChat(model, options, printer))
    if (Either.isRight(result)) continue
    const { message } = result.left
    failures.push(model.name)
    // The next download can have another source.
    if (options.json) yield* print(true, [], { event: "failed", model: model.name, message })
    if (models.length > 1) yield* Console.error(`${model.name}: ${message}`)
    else return yield* Effect.fail(result.left)
  }
  if (missing.some(({ name }) => !failures.includes(name)) && !options.json) {
    yield* Console.log("The service uses a new model after its next start.")
  }
  if (failures.length > 0) {
    return yield* new CommandFailed({ message: `Not installed: ${failures.join(", ")}.` })
  }
})
