import { join } from "node:path"
import { Array as Arr, Effect, Option } from "effect"
import { type InstalledModel, installed, type Library, verifyFiles } from "../../models/store.ts"
import { startEngineProcess } from "./engine/process.ts"
import { EngineFailed } from "./engine/requests.ts"
import type { EngineOptions } from "./engine/supervisor.ts"
import { findSherpa } from "./sherpa.ts"

/** Moonshine models, from the best on. */
const recognizers = ["moonshine-base-en", "moonshine-tiny-en"]

const detectorName = "silero-vad"

/** The models of files that the engines run. */
export const usedModels: ReadonlyArray<string> = [detectorName, ...recognizers]

/** Whether one of the ISO 639-1 codes is that of the language. `en` and `en-GB` are English. */
export const knowsLanguage = (languages: ReadonlyArray<string>, language: string): boolean =>
  languages.includes(language.toLowerCase().split(/[-_]/)[0] ?? "")

/** A speech recognizer that is installed, with all that it needs. */
export interface Recognizer {
  readonly name: string
  /** ISO 639-1 codes. */
  readonly languages: ReadonlyArray<string>
  readonly engine: EngineOptions
}

const recognizerOf = (found: InstalledModel, detector: InstalledModel): Recognizer => {
  const { name, languages } = found.model
  return {
    name,
    languages,
    engine: {
      name,
      check: Effect.forEach([detector, found], verifyFiles, { discard: true }).pipe(
        Effect.mapError(({ message }) => new EngineFailed({ reason: message })),
      ),
      start: startEngineProcess,
      loader: "moonshine",
      files: {
        encoder: join(found.folder, "encoder_model.onnx"),
        decoder: join(found.folder, "decoder_model_merged.onnx"),
        tokens: join(found.folder, "tokens.txt"),
        detector: join(detector.folder, "silero_vad.onnx"),
      },
    },
  }
}

/** The installed recognizers that the engine can run, from the best on. Their files are checked when they start. */
export const findRecognizers = Effect.fn("findRecognizers")(function* (library: Library) {
  if (Option.isNone(findSherpa())) return []
  const detector = yield* installed(library, detectorName)
  const found = yield* Effect.forEach(recognizers, (name) => installed(library, name))
  return found.flatMap((each) => Option.toArray(Option.zipWith(each, detector, recognizerOf)))
})

export const findRecognizer = (library: Library): Effect.Effect<Option.Option<Recognizer>> =>
  Effect.map(findRecognizers(library), Arr.head)
