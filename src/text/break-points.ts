/** Where to cut a sentence that is too long or late: at a clause, a word or a grapheme. */

/**
 * UTF-16 units of the longest text without a cut. Cleaning adds at most 1000 for formulas, and a comma or stop for every
 * second unit: such a text has at most 4000 to speak, and OpenAI accepts 4096.
 */
const UNITS_MAX = 2000
/** UTF-16 units around a cut that are searched for the edge of a word. Longer words are split. */
const WINDOW = 64
/** A Chinese, Japanese or Korean character takes as long to say as three Latin ones: 5 a second against 15. */
const WIDE_SIZE = 3

const wide = (unit: number): boolean =>
  unit >= 0x1100 && (unit < 0x1200 || (unit >= 0x2e80 && unit < 0xa4d0) || (unit >= 0xac00 && unit < 0xd7b0))

/** How long a text takes to say, in Latin characters of about 65 ms. */
export const spokenLength = (text: string): number => {
  let size = text.length
  for (let i = 0; i < text.length; i++) if (wide(text.charCodeAt(i))) size += WIDE_SIZE - 1
  return size
}

/** The number of units of `text` whose spoken length is at most `size`. */
const unitsFor = (text: string, size: number): number => {
  let left = size
  for (let i = 0; i < text.length; i++) {
    left -= wide(text.charCodeAt(i)) ? WIDE_SIZE : 1
    if (left < 0) return i
  }
  return text.length
}

/** A comma, semicolon, colon or dash that ends a clause, but not those in "1,000" and "10:30". */
const CLAUSE = /[,;:](?=\s)|[，、；：،؛]|\s[-–](?=\s)|—/gu

const lastClause = (text: string, least: number): number => {
  let cut = 0
  for (const found of text.matchAll(CLAUSE)) cut = found.index + found[0].length
  return spokenLength(text.slice(0, cut)) >= least ? cut : 0
}

const words = new Intl.Segmenter(undefined, { granularity: "word" })
const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" })

/** The start of the last word, space or mark of `text`, which may be incomplete. 0 if there is no other before it. */
const lastWord = (text: string): number => {
  const from = Math.max(0, text.length - WINDOW)
  const last = words.segment(text.slice(from)).containing(text.length - from - 1)
  return last === undefined || last.index === 0 ? 0 : from + last.index
}

/** The last position at or before `at` that does not split a grapheme. */
const graphemeStart = (text: string, at: number): number => {
  const from = Math.max(0, at - WINDOW)
  const found = graphemes.segment(text.slice(from, at + WINDOW)).containing(at - from)
  if (found !== undefined && found.index > 0) return from + found.index
  const low = text.charCodeAt(at)
  return low >= 0xdc00 && low < 0xe000 ? at - 1 : at
}

/**
 * Where to cut `text`, whose spoken length is `size`, so that it is at most `most`: after the last clause that leaves at
 * least `least`; from twice `most` on at a word; from UNITS_MAX on at a grapheme. A text of more than `limit` units is
 * always cut, and within the limit. 0 if it should not be cut yet.
 */
export const clauseEnd = (text: string, size: number, most: number, least: number, limit: number): number => {
  const clause = lastClause(text.slice(0, Math.min(unitsFor(text, most), limit)), least)
  if (clause > 0) return clause
  if (size <= 2 * most && text.length <= limit) return 0
  const word = lastWord(text.slice(0, Math.min(unitsFor(text, 2 * most), limit)))
  if (word > 0) return word
  const longest = Math.min(UNITS_MAX, limit)
  return text.length > longest ? graphemeStart(text, longest) : 0
}

/** The parts of a text, each of at most `limit` units: cut at clauses, or else at words or graphemes. */
export const partsOf = (text: string, limit: number, least: number): ReadonlyArray<string> => {
  const parts: Array<string> = []
  let rest = text
  while (rest.length > limit) {
    const cut = clauseEnd(rest, 0, limit * WIDE_SIZE, least, limit)
    parts.push(rest.slice(0, cut).trim())
    rest = rest.slice(cut).trim()
  }
  return [...parts, rest]
}

/** Where to cut an incomplete sentence: after its last clause of at least `least`, or before its last word. */
export const wordEnd = (text: string, least: number): number => {
  if (/[\p{Sentence_Terminal}…]\s*$/u.test(text)) return text.length
  return lastClause(text, least) || lastWord(text)
}
