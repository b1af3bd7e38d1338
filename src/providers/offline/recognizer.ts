import { Array as Arr, Effect, Option } from "effect"
import type { Library } from "../../models/store.ts"
import { chooseEngine, knowsLanguage } from "./model-engine.ts"

/** What decides between the recognizers. */
export interface HearingOptions {
  /** STT_MODEL: the name of a recognizer, `pocketsphinx`, or anything else: the best one. */
  readonly model: string
  /** ISO 639-1. None: the recognizer has to detect it. */
  readonly language: Option.Option<string>
}

/** The recognizer of the system, which is a program and no model. */
export const programName = "pocketsphinx"
/** ISO 639-1. */
export const programLanguages: ReadonlyArray<string> = ["en"]

/**
 * The recognizer that hears: of those that know the language, the first one of the manifest. Without a language, it is one
 * of many languages, if there is one. Where none knows the language, it is the first one, which refuses it.
 */
export const findRecognizer = Effect.fn("findRecognizer")(function* (
  library: Library,
  { model, language }: HearingOptions,
) {
  if (model === programName) return Option.none()
  return yield* chooseEngine(library, "stt", model, (engines) =>
    Option.orElse(
      Arr.findFirst(engines, ({ languages }) =>
        Option.match(language, {
          onNone: () => languages.length > 1,
          onSome: (code) => knowsLanguage(languages, code),
        }),
      ),
      () => Arr.head(engines),
    ),
  )
})
