import { readFileSync } from "node:fs"
import { resolve } from "node:path"
import { Either, type ParseResult, Schema } from "effect"
import { jsonFault } from "./json-fault.ts"

interface JsonText {
  readonly text: string
  /** Ends the sentence about a fault: nothing, or the file's absolute path. */
  readonly where: string
}

/**
 * A variable's text if it is a JSON object or a list, otherwise what the file of this name has. A relative path begins in the
 * folder that the service is started in.
 */
const textOf = (text: string): Either.Either<JsonText, string> => {
  if (/^[{[]/.test(text)) return Either.right({ text, where: "" })
  const path = resolve(text)
  return Either.try({
    try: () => ({ text: readFileSync(path, "utf8"), where: ` (in ${path})` }),
    catch: () => `there is no file ${JSON.stringify(path)} that can be read`,
  })
}

const parse = ({ text }: JsonText) =>
  Either.try({
    try: (): unknown => JSON.parse(text),
    catch: () => {
      const { line, column } = jsonFault(text)
      return `it is no valid JSON: see line ${line}, column ${column}`
    },
  })

/** Reads a variable that is JSON or the path of a file with it. Left: what is wrong, without "it must be". */
export const readJsonOrFile =
  <A, I>(
    schema: Schema.Schema<A, I>,
    sentenceOf: (error: ParseResult.ParseError) => string,
    onExcessProperty: "error" | "ignore" = "error",
  ) =>
  (text: string): Either.Either<A, string> =>
    Either.flatMap(textOf(text), (json) =>
      parse(json).pipe(
        Either.flatMap((value) =>
          Either.mapLeft(Schema.decodeUnknownEither(schema, { onExcessProperty })(value), sentenceOf),
        ),
        Either.mapLeft((fault) => `${fault}${json.where}`),
      ),
    )
