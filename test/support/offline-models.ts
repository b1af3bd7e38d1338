import { existsSync } from "node:fs"
import { join } from "node:path"
import { Effect, Option } from "effect"
import { installed, libraryOf } from "../../src/models/store.ts"
import { findRecognizer, type HearingOptions } from "../../src/providers/offline/recognizer.ts"
import { findSherpa } from "../../src/providers/offline/sherpa.ts"

const root = join(import.meta.dir, "../..")

/** The models of this checkout, where the set-up puts them. */
export const library = libraryOf(join(root, ".data"))

/** Whether the engines' package is installed. */
export const hasEngines = Option.isSome(findSherpa())

const detector = await Effect.runPromise(installed(library, "silero-vad"))

/** Whether speech is detected here. */
export const hasDetector = hasEngines && Option.isSome(detector)

/** The best recognizer for English. */
export const anyHearing: HearingOptions = { model: "whisper-1", language: Option.some("en") }

/** The recognizer of this checkout. None where the package or a model is missing, with the reason on standard error. */
export const recognizer = await Effect.runPromise(findRecognizer(library, anyHearing))

export const hasRecognizer = Option.isSome(recognizer)
if (!hasRecognizer) {
  console.error(
    "Skipped: the tests of the offline recognizer. `bun src/main.ts models pull --default --yes` installs its models.",
  )
}

/** Debian's pocketsphinx-testdata: five sentences of a LibriVox reader (public domain), 24.7 s, 71 words. */
const folder = "/usr/share/pocketsphinx/test/data/librivox"

export const hasLibriVox = existsSync(folder)
if (!hasLibriVox) console.error("Skipped: tests with LibriVox readings. Install pocketsphinx-testdata.")

export interface Reading {
  readonly path: string
  /** What is read, in lower case without marks. */
  readonly text: string
}

/** The clips and what is said in them. */
export const readLibriVox = async (): Promise<ReadonlyArray<Reading>> => {
  const lines = (await Bun.file(join(folder, "transcription")).text()).trim().split("\n")
  return lines.map((line) => {
    const [, text = "", name = ""] = /^<s>\s*(.*?)\s*<\/s>\s*\(([^)]+)\)/.exec(line) ?? []
    return { path: join(folder, `${name}.wav`), text: text.replace(/^\s*|\s*$/g, "") }
  })
}
