/** LaTeX as a person would read it aloud in English, roughly: "x squared", "a over b". */
import { accents, fractions, layout, signs, symbols, textual, unsaid } from "./latex-words.ts"

/** Braces and arguments inside each other that are read. Deeper ones are no formula of a reply. */
const maxDepth = 30

const NAME = /\\([A-Za-z]+)\*?/y
const NUMBER = /\d+(?:[.,]\d+)*/y
const POWERS: ReadonlyMap<string, string> = new Map([
  ["2", "squared"],
  ["3", "cubed"],
  ["circle", "degrees"],
  ["prime", "prime"],
  ["*", "star"],
  ["times", "star"],
])
const ROOTS: ReadonlyMap<string, string> = new Map([
  ["", "square root"],
  ["2", "square root"],
  ["3", "cube root"],
])
/** Before the index of an operator. */
const LIMITS: ReadonlyMap<string, string> = new Map([
  ["sum", "from"],
  ["prod", "from"],
  ["int", "from"],
  ["iint", "over"],
  ["oint", "over"],
  ["lim", "as"],
  ["log", "base"],
])

const tidy = (words: string): string =>
  words
    .replace(/\s+/g, " ")
    .replace(/ (?=[.,;:!)\]])|(?<=[([]) /g, "")
    .trim()

/** Whether a command is known. An unknown one outside of a formula may be a path or a pattern. */
export const isKnown = (name: string): boolean =>
  [symbols, accents, fractions, layout, textual, unsaid].some((words) => words.has(name)) || name === "sqrt"

/**
 * Reads LaTeX from `start`. `token` returns the words of the next command, script, group or character, and goes behind it.
 * The work is linear in what is read.
 */
export const readLatex = (source: string, start = 0) => {
  let at = start
  let depth = 0

  const match = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at
    const found = pattern.exec(source)
    if (found !== null) at = pattern.lastIndex
    return found
  }
  const skipSpace = () => match(/\s+/y)

  /** Up to the closing mark, which is consumed. */
  const until = (close: string): string => {
    let words = ""
    while (at < source.length && !source.startsWith(close, at)) words += token()
    at += close.length
    return words
  }
  const nested = (read: () => string): string => {
    if (depth > maxDepth) {
      // Otherwise the caller would find the same character again, for ever.
      character()
      return ""
    }
    depth += 1
    const words = read()
    depth -= 1
    return words
  }
  const group = (): string => {
    at += 1
    return nested(() => until("}"))
  }
  const character = (): string => {
    const one = String.fromCodePoint(source.codePointAt(at) ?? 0x20)
    at += one.length
    return one
  }
  /** What a command or script applies to: braces, a command, or one character; of a script, a whole number. */
  const argument = (isScript = false): string => {
    skipSpace()
    if (at >= source.length || source[at] === "}") return ""
    if (source[at] === "{") return tidy(group())
    if (source[at] === "\\") return tidy(nested(command))
    const sign = isScript && /[+-]\d/y.test(source.slice(at, at + 2)) ? token() : ""
    return tidy(sign + ((isScript ? match(NUMBER)?.[0] : undefined) ?? character()))
  }
  /** Braces as they are written, without the signs of LaTeX. */
  const text = (): string => {
    skipSpace()
    return match(/\{([^{}]*)\}/y)?.[1]?.replace(/[\\$]/g, "") ?? argument()
  }

  const script = (): string => {
    const isPower = character() === "^"
    const words = argument(true)
    if (words === "") return " "
    if (!isPower) return ` sub ${words} `
    if (/^(?:st|nd|rd|th)$/.test(words)) return words
    return ` ${POWERS.get(words) ?? `to the power of ${words}`} `
  }
  const root = (): string => {
    skipSpace()
    const degree = match(/\[/y) === null ? "" : tidy(nested(() => until("]")))
    return ` ${ROOTS.get(degree) ?? `${degree}th root`} of ${argument()} `
  }
  const limits = (from: string): string => {
    let words = ""
    for (skipSpace(); source[at] === "_" || source[at] === "^"; skipSpace()) {
      const before = character() === "_" ? from : "to"
      words += ` ${before} ${argument(true)}`
    }
    return words === "" ? " of " : `${words} of `
  }

  const command = (): string => {
    const name = match(NAME)?.[1]
    if (name === undefined) {
      at += 1
      const escaped = at < source.length ? character() : ""
      if (escaped === "\\") return ", "
      return /[,;:!()[\]\s]/.test(escaped) ? " " : escaped
    }
    if (layout.has(name)) {
      if (/^(?:left|right)$/.test(name)) match(/\s*\./y)
      return " "
    }
    if (unsaid.has(name)) {
      text()
      return " "
    }
    if (textual.has(name)) return ` ${text()} `
    const between = fractions.get(name)
    if (between !== undefined) return ` ${argument()} ${between} ${argument()} `
    if (name === "sqrt") return root()
    const around = accents.get(name)
    if (around !== undefined) return ` ${around[0]} ${argument()} ${around[1]} `
    const from = LIMITS.get(name)
    return ` ${symbols.get(name) ?? name}${from === undefined ? " " : limits(from)}`
  }

  const token = (): string => {
    const next = source[at]
    if (next === "\\") return nested(command)
    if (next === "{") return group()
    if (next === "^" || next === "_") return nested(script)
    const one = match(NUMBER)?.[0] ?? character()
    if (one === "}") return ""
    const sign = signs.get(one)
    return sign === undefined ? one : ` ${sign} `
  }

  return { token, position: () => at, isAtEnd: () => at >= source.length }
}

/** The words of a whole formula, without its delimiters. */
export const sayLatex = (source: string): string => {
  const reader = readLatex(source)
  let words = ""
  while (!reader.isAtEnd()) words += reader.token()
  return tidy(words)
}
