import { Either, Option } from "effect"
import { placeIn, strayBraces } from "../text/braces.ts"

/** Values of `{{name}}` in texts of an agent: the metadata of the session. */
type Values = Readonly<Record<string, unknown>>

/**
 * `{{name}}`, or `{{name | fallback}}`. Other braces of an agent that is stored stay as they are. The fallback is trimmed in
 * code: white space that two quantifiers share takes quadratic time and more.
 */
const placeholder = /\{\{[ \t]*([A-Za-z_][A-Za-z0-9_.-]{0,63})[ \t]*(?:\|([^{}\r\n]*))?\}\}/g

/** The beginning of a placeholder with a fallback, whatever the fallback is. */
const withFallback = /\{\{[ \t]*[A-Za-z_][A-Za-z0-9_.-]{0,63}[ \t]*\|/y

const hasFallback = (text: string, at: number) => {
  withFallback.lastIndex = at
  return withFallback.test(text)
}

/** What is wrong with the placeholders of a text. None if nothing is. The sentence follows the name of its field. */
export const placeholderFault = (text: string): Option.Option<string> =>
  Option.map(strayBraces(text, placeholder), (at) => {
    const allowed = text.startsWith("{{secret:", at)
      ? "A secret may stand in the headers and the query of a tool only."
      : hasFallback(text, at)
        ? "A fallback is one line without braces, and ends with }}: {{name | text}}."
        : "Write {{name}} or {{name | text}}; a name has up to 64 letters, digits, _, . or -, and begins with a letter or _."
    return `has {{ at ${placeIn(text, at)} that begins no placeholder. ${allowed} For the characters themselves, write { { with a space.`
  })

/** Of a value, in UTF-16 units. A name or a summary of a customer fits; a text with instructions of its own hardly does. */
const maxLength = 1000

/**
 * The value in one line: control characters, line ends and invisible characters (those of tags and of directions can hide
 * words) become spaces. Joiners are a part of words in Persian and Hindi, and of emoji.
 */
const inOneLine = (value: string) =>
  value
    .toWellFormed()
    .replace(/(?:(?![\u200c\u200d])[\p{C}\p{Z}])+/gu, " ")
    .trim()
    .slice(0, maxLength)
    .toWellFormed()

/** None for values that are no plain text: lists and objects would bring a structure of their own. */
const textOf = (value: unknown): string | undefined => {
  if (typeof value === "string") return inOneLine(value)
  return typeof value === "number" || typeof value === "boolean" ? `${value}` : undefined
}

/** A value that a text needs, and what the metadata has in its place. */
export interface ValueNeeded {
  readonly name: string
  readonly found: "nothing" | "an empty text" | "a list" | "an object"
}

const foundIn = (value: unknown): ValueNeeded["found"] => {
  if (value === undefined || value === null) return "nothing"
  if (Array.isArray(value)) return "a list"
  return typeof value === "object" ? "an object" : "an empty text"
}

const fill = (
  text: string,
  values: Values,
  write: (value: string) => string,
): Either.Either<string, ValueNeeded> => {
  let missing: ValueNeeded | undefined
  const filled = text.replace(placeholder, (_, name: string, fallback: string | undefined) => {
    const given = Object.hasOwn(values, name) ? values[name] : undefined
    const value = textOf(given)
    if (value !== undefined && value !== "") return write(value)
    if (fallback !== undefined) return fallback.trim()
    missing ??= { name, found: foundIn(given) }
    return ""
  })
  return missing === undefined ? Either.right(filled) : Either.left(missing)
}

/**
 * The instructions with the values. Each value is in quotation marks, as JSON: it cannot end its quotation, begin a line, or
 * close a tag, so it stays recognizable as data. Left is the first value that is missing.
 */
export const fillInstructions = (text: string, values: Values): Either.Either<string, ValueNeeded> =>
  fill(text, values, (value) =>
    JSON.stringify(value).replace(
      /[<>`]/g,
      (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
    ),
  )

/** A text that is spoken, with the values as words: without the characters that Markdown and markup are made of. */
export const fillSpoken = (text: string, values: Values): Either.Either<string, ValueNeeded> =>
  fill(text, values, (value) => inOneLine(value.replace(/[<>`*_#[\]{}|\\]+/g, " ")))
