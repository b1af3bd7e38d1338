/** Finds the formulas of a text. */
import { isKnown, readLatex, sayLatex } from "./latex.ts"

/** A sign of mathematics, or one word. Text between two dollars may be neither: "$5 and $10" is money. */
const MATH = /[\\^_={}<>+*/|−×·±≤≥≠≈-]|^[\p{L}\p{N}.,'()!]+$|^\s*[\p{L}\p{N}]\s*$/u
const PROSE = /\p{L}{2}[ ,;:]+\p{L}{2}|^\d[^\\]*\s\p{L}{2}/u

const isFormula = (source: string): boolean =>
  MATH.test(source) && !PROSE.test(source.trim().replace(/\\[A-Za-z]+(?:\{[^{}]*\})?/g, " + "))

/**
 * $$…$$, \[…\], \(…\), \begin{…}…\end{…} and $…$. No alternative reads beyond the next delimiter of its kind, so that this
 * is linear.
 */
const DELIMITED = new RegExp(
  [
    /\$\$([^$]+)\$\$/,
    /\\\[([^\\]*(?:\\[^[\]][^\\]*)*)\\\]/,
    /\\\(([^\\]*(?:\\[^()][^\\]*)*)\\\)/,
    /\\begin\{[A-Za-z]+\*?\}(?:\{[lcr|]*\})?([^\\]*(?:\\(?!begin\{|end\{)[^\\]*)*)\\end\{[A-Za-z]+\*?\}/,
    /(?<![\p{L}\p{N}$\\])\$(?=\S)([^$\\\n]*(?:\\[^\n][^$\\\n]*)*)(?<=\S)\$(?!(?!th\b)[\p{L}\p{N}$])/u,
  ]
    .map(({ source }) => source)
    .join("|"),
  "gu",
)
/**
 * What a cut left of a formula: a command that is no part of a path such as C:\Users\in, an exponent, an index in braces or
 * of one letter ("x_1"), a delimiter, an alignment, and a break at the end of a line, which Markdown has too.
 */
const BARE =
  /(?<!\p{L}{2}|[:\\/.])\\([A-Za-z]+)|(?<=[\p{L}\p{N})\]}])\^(?=[{(]|[+-]?\d|\p{L}(?!\p{L})|\\[A-Za-z])|(?<=\p{L})_(?=\{)|(?<=(?<![\p{L}\p{N}_])\p{L})_(?=\d+(?![\p{L}\p{N}_]))|\\[()[\]]|\\{1,2}(?=[ \t]*(?:\n|$))|&(?==)|^\s*\$\$(?!\$)|(?<!\$)\$\$\s*$/gu

/** Replaces what a cut left of formulas by words. */
const sayBare = (text: string, fits: (words: string, length: number) => string): string => {
  let said = ""
  let done = 0
  BARE.lastIndex = 0
  for (let found = BARE.exec(text); found !== null; found = BARE.exec(text)) {
    const [mark, name] = found
    if (name !== undefined && !isKnown(name)) continue
    let words = ""
    let end = found.index + mark.length
    if (name !== undefined || mark === "^" || mark === "_") {
      const reader = readLatex(text, found.index)
      do words += reader.token()
      while (/^(?:[_^]|\\[A-Za-z])/.test(text.slice(reader.position(), reader.position() + 2)))
      end = reader.position()
    }
    said += text.slice(done, found.index) + fits(` ${words} `, end - found.index)
    done = end
    BARE.lastIndex = end
  }
  return done === 0 ? text : tidyEnds(said + text.slice(done))
}

/** The spaces around what was said, on each line. */
const tidyEnds = (text: string): string => text.replace(/[ \t]+/g, " ").replace(/ (?=[.,)\n]|$)/g, "")

/**
 * `text` with its formulas in words. At most `spare` characters longer: formulas for which there is no room are dropped,
 * so that a reply stays within what a voice accepts.
 */
export const sayFormulas = (text: string, spare: number): string => {
  if (!/[\\$^_&]/.test(text)) return text
  let left = spare
  const fits = (words: string, length: number): string => {
    const added = words.length - length
    if (added > left) return ""
    left -= Math.max(0, added)
    return words
  }
  // Some models write the backslash of a delimiter twice.
  const outside = text
    .replace(/\\\\(?=[()])/g, "\\")
    .replace(DELIMITED, (whole: string, ...groups: ReadonlyArray<unknown>) => {
      const inner = groups.slice(0, 5).find((group) => typeof group === "string") ?? ""
      if (whole.startsWith("\\begin") || isFormula(inner)) return fits(sayLatex(inner), whole.length)
      return whole.startsWith("\\") ? inner : whole
    })
  return sayBare(outside, fits)
}
