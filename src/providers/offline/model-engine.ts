import { readdir } from "node:fs/promises"
import { basename, join } from "node:path"
import { Duration, Effect, Option, Schema } from "effect"
import { bytesPerSecond } from "../../audio/pcm.ts"
import { type FileModel, isFileModel, type Loader } from "../../models/manifest.ts"
import {
  allInstalled,
  type InstalledModel,
  type Library,
  storeOf,
  verifiedFolder,
} from "../../models/store.ts"
import { primaryLanguage } from "../../text/language.ts"
import { modelFiles } from "./engine/model-files.ts"
import { startEngineProcess } from "./engine/process.ts"
import { EngineFailed } from "./engine/requests.ts"
import type { EngineOptions } from "./engine/supervisor.ts"
import { findSherpa } from "./sherpa.ts"

/** The settings name a model that cannot be used here. The message says what to do. */
export class ModelMissing extends Schema.TaggedError<ModelMissing>()("ModelMissing", {
  message: Schema.String,
}) {}

/** A recognizer or a voice that is installed, with all that it needs. */
export interface ModelEngine {
  readonly name: string
  /** ISO 639-1 codes. */
  readonly languages: ReadonlyArray<string>
  /** The names of its voices, in the order of their numbers. */
  readonly voices: ReadonlyArray<string>
  readonly engine: EngineOptions
}

/** Whether one of the ISO 639-1 codes is that of the language. `en` and `en-GB` are English. */
export const knowsLanguage = (languages: ReadonlyArray<string>, language: string): boolean =>
  languages.includes(primaryLanguage(language))

/** The loaders whose voices are recordings: `voices/NAME.wav` of the model. */
const clones: ReadonlySet<Loader> = new Set(["pocket"])

/** The recordings of DATA_DIR/voices, or else those of the model. The operator's own stand for all other voices. */
const findRecordings = (
  library: Library,
  { model, folder }: InstalledModel,
): Effect.Effect<ReadonlyArray<string>> =>
  Effect.promise(async () => {
    const own = join(storeOf(library), "../voices")
    const names = await readdir(own).catch((): ReadonlyArray<string> => [])
    const recordings = names.filter((name) => /^[^.].*\.wav$/i.test(name)).toSorted()
    if (recordings.length > 0) return recordings.map((name) => join(own, name))
    return model.files.flatMap(({ path }) => (path.startsWith("voices/") ? [join(folder, path)] : []))
  })

/** The paths of files by the loaders' names. */
const pathsOf = (model: FileModel, folder: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(modelFiles[model.loader]).map(([role, path]) => [role, join(folder, path)]),
  )

/** The paths in copies whose hashes are right. */
const verifiedPaths = (library: Library, models: ReadonlyArray<InstalledModel>) =>
  Effect.forEach(models, ({ model }) =>
    Effect.map(verifiedFolder(library, model), (folder) => pathsOf(model, folder)),
  ).pipe(
    Effect.mapBoth({
      onSuccess: (paths): Readonly<Record<string, string>> => Object.assign({}, ...paths),
      onFailure: ({ message }) => new EngineFailed({ reason: message }),
    }),
  )

/** The longest step takes 15 s of speech; a recognizer hears windows of that length, a voice speaks one sentence. */
const longestStepSeconds = 15
/** Time for one second of speech, where the machine has other work: five to ten times that of a free one. */
const stepPerSecond = 1.6
/** A short step waits for those of other requests, and for the machine. */
const shortestStepMs = 6000
/** Characters that are spoken in a second. */
const charactersPerSecond = 15

const stepOf = (speechSeconds: number) =>
  Duration.millis(
    Math.max(shortestStepMs, 1000 * stepPerSecond * Math.min(speechSeconds, longestStepSeconds)),
  )

/** How long the longest step on a request's bytes may take: 16 kHz samples to hear, or a text to speak. */
const longestSteps: Readonly<Record<"stt" | "tts", (bytes: Uint8Array) => Duration.Duration>> = {
  stt: (bytes) => stepOf(bytes.length / bytesPerSecond),
  tts: (bytes) => stepOf(bytes.length / charactersPerSecond),
}

const engineOf = Effect.fnUntraced(function* (
  library: Library,
  found: InstalledModel,
  /** What must be there besides the model. */
  helpers: ReadonlyArray<InstalledModel>,
  role: "stt" | "tts",
) {
  const { name, languages, loader, voices } = found.model
  const recordings = clones.has(loader) ? yield* findRecordings(library, found) : []
  const engine: ModelEngine = {
    name,
    languages,
    voices: voices ?? recordings.map((path) => basename(path).replace(/\.wav$/i, "")),
    engine: {
      name,
      check: verifiedPaths(library, [...helpers, found]),
      start: startEngineProcess,
      loader,
      longestStep: longestSteps[role],
      files: Object.assign({}, ...[...helpers, found].map(({ model, folder }) => pathsOf(model, folder))),
      recordings,
    },
  }
  return engine
})

/**
 * The installed models of the role that can run here, in the order of the manifest. A recognizer needs the detector of
 * speech too. Their files are checked when they start.
 */
export const findEngines = Effect.fn("findEngines")(function* (library: Library, role: "stt" | "tts") {
  if (Option.isNone(findSherpa())) return []
  const all = yield* allInstalled(library)
  const of = (which: FileModel["role"]) => all.filter(({ model }) => model.role === which)
  const helpers = role === "stt" ? of("vad").slice(0, 1) : []
  if (role === "stt" && helpers.length === 0) return []
  return yield* Effect.forEach(of(role), (each) => engineOf(library, each, helpers, role))
})

/** Why the model that the settings name is not among the engines. */
const missing = ({ name }: FileModel, variable: string) => {
  if (Option.isNone(findSherpa())) {
    return `${variable}=${name} needs the optional npm package sherpa-onnx-node, which is not installed for this platform. Run bun install, or remove ${variable}.`
  }
  return `${variable} is ${name}, which is not installed. Run: ./voice-agent models pull ${name}`
}

/**
 * The engine that the settings name, or else the one that `best` chooses of those in the order of the manifest. A name that
 * is no model of the role, such as the default one of a hosted model, chooses nothing. Fails if the model that is named
 * cannot be used here.
 */
export const chooseEngine = Effect.fnUntraced(function* (
  library: Library,
  role: "stt" | "tts",
  name: string,
  best: (engines: ReadonlyArray<ModelEngine>) => Option.Option<ModelEngine>,
) {
  const engines = yield* findEngines(library, role)
  const named = library.manifest
    .filter(isFileModel)
    .find((model) => model.role === role && model.name === name)
  if (named === undefined) return best(engines)
  const found = engines.find((engine) => engine.name === name)
  const variable = role === "stt" ? "STT_MODEL" : "TTS_MODEL"
  return found === undefined
    ? yield* new ModelMissing({ message: missing(named, variable) })
    : Option.some(found)
})
