import { Array as Arr, Option, Schema } from "effect"
import data from "./models.json"

/** A path inside a folder: no empty part, and no part that begins with a dot, so it never leads out of the folder. */
const RelativePath = Schema.String.pipe(Schema.pattern(/^\w[\w.-]*(\/\w[\w.-]*)*$/))

const Sha256 = Schema.String.pipe(Schema.pattern(/^[0-9a-f]{64}$/))

/** A file inside the tarball of an npm package. */
const NpmSource = Schema.Struct({
  package: Schema.String.pipe(Schema.pattern(/^(@[\w.-]+\/)?\w[\w.-]*$/)),
  version: Schema.String.pipe(Schema.pattern(/^[\w.+-]+$/)),
  /** Bytes of the tarball, exactly. */
  size: Schema.NonNegativeInt,
  /** Of the tarball, as npm's lockfiles have it. */
  integrity: Schema.String.pipe(Schema.pattern(/^sha512-[A-Za-z0-9+/]{86}==$/)),
  path: RelativePath,
})
export type NpmSource = typeof NpmSource.Type

/** A path in a repository of Hugging Face, at one commit. `HF_ENDPOINT` replaces the host. */
const HubSource = Schema.Struct({
  repository: Schema.String.pipe(Schema.pattern(/^[\w.-]+\/[\w.-]+$/)),
  revision: Schema.String.pipe(Schema.pattern(/^\w+$/)),
  path: RelativePath,
})
export type HubSource = typeof HubSource.Type

/** One way to get a file: from an npm package, from Hugging Face, from any URL, or from this package itself. */
const Source = Schema.Union(
  Schema.Struct({ npm: NpmSource }),
  Schema.Struct({ hub: HubSource }),
  Schema.Struct({ url: Schema.String.pipe(Schema.pattern(/^https?:\/\//)) }),
  /** A file in src/models/files, compressed with zstd. */
  Schema.Struct({ included: RelativePath }),
)
export type Source = typeof Source.Type

export const ModelFile = Schema.Struct({
  path: RelativePath,
  /** Bytes, exactly. */
  size: Schema.NonNegativeInt,
  /** Without it, the hash of the first download is kept, and later downloads must have the same. */
  sha256: Schema.optionalWith(Sha256, { exact: true }),
  /** In the order in which they are tried. */
  sources: Schema.NonEmptyArray(Source),
})
export type ModelFile = typeof ModelFile.Type

const common = {
  name: Schema.String.pipe(Schema.pattern(/^[a-z0-9][a-z0-9.-]*$/)),
  description: Schema.String,
  /** ISO 639-1 codes. Empty: any language. */
  languages: Schema.Array(Schema.String.pipe(Schema.pattern(/^[a-z]{2}$/))),
  /** An SPDX identifier, or the licence's name. */
  licence: Schema.String,
  /** Who made the model, as its licence asks to be named. */
  attribution: Schema.String,
  /** What it takes to run the model fast enough for a conversation. */
  needs: Schema.Struct({ cores: Schema.Int, memoryMb: Schema.Int }),
}

/** How an engine's process loads a model. Each has files of its own names: see `engine/model-files.ts`. */
export const Loader = Schema.Literal("silero", "moonshine", "transducer", "whisper", "supertonic", "pocket")
export type Loader = typeof Loader.Type

/** A model that the service's own engines run, as files. */
export const FileModel = Schema.Struct({
  ...common,
  role: Schema.Literal("stt", "tts", "vad"),
  loader: Loader,
  /** The names of a model's own voices, in the order of their numbers in it. */
  voices: Schema.optionalWith(Schema.Array(Schema.String), { exact: true }),
  version: Schema.String.pipe(Schema.pattern(/^\w[\w.-]*$/)),
  /** Part of what the set-up installs. */
  isDefault: Schema.Boolean,
  files: Schema.NonEmptyArray(ModelFile),
})
export type FileModel = typeof FileModel.Type

/** A chat model that Ollama keeps and runs. */
const ChatModel = Schema.Struct({
  ...common,
  role: Schema.Literal("llm"),
  /** The name of the model in Ollama's library. */
  ollama: Schema.String,
  /** Bytes, about. */
  size: Schema.NonNegativeInt,
})
export type ChatModel = typeof ChatModel.Type

export type Model = FileModel | ChatModel

/** Models of one role are in the order in which they are recommended. */
export const Manifest = Schema.Array(Schema.Union(FileModel, ChatModel))
export type Manifest = typeof Manifest.Type

/** Every model that can be installed. A test decodes models.json, so this throws only in a broken checkout. */
export const manifest: Manifest = Schema.decodeUnknownSync(Manifest)(data)

/** True for a model of files, false for one of Ollama. */
export const isFileModel = (model: Model): model is FileModel => model.role !== "llm"

/** The model of files with this name. */
export const findFileModel = (models: Manifest, name: string): Option.Option<FileModel> =>
  Option.filter(
    Arr.findFirst(models, (model) => model.name === name),
    isFileModel,
  )

/** Bytes on disk. */
export const sizeOf = (model: Model): number =>
  isFileModel(model) ? model.files.reduce((sum, { size }) => sum + size, 0) : model.size
