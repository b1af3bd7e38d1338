import { readFileSync } from "node:fs"
import { Either, Option } from "effect"

const read = (path: string) => Option.getRight(Either.try(() => readFileSync(path, "utf8")))

/** A variable's text if it is a JSON object, otherwise what the file of this name has. None if that cannot be read. */
export const jsonOrFile = (text: string): Option.Option<string> =>
  text.startsWith("{") ? Option.some(text) : read(text)
