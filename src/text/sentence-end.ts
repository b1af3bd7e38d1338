import { abbreviationOf, followsOrdinal } from "./abbreviations.ts"

/** Where a sentence may end: a terminal mark of any script, an ellipsis, the Greek question mark, a line break. */
const CANDIDATE = /[\p{Sentence_Terminal}…\u037E\n]/gu

/** The next of these at or after `from`. Null if there is none. */
export const nextCandidate = (text: string, from: number) => {
  CANDIDATE.lastIndex = from
  return CANDIDATE.exec(text)
}

const MARKS = /[\p{Sentence_Terminal}…\u037E]+/uy
/** Quotes, brackets and Markdown marks directly after the end mark belong to the sentence. */
const CLOSERS = /["'”’“‘»«›)\]}*_~`]*/uy
/** An opening quote may follow a full-width mark without a space, so only closing ones belong to it. */
const WIDE_CLOSERS = /["'”’»)\]}」』）】〉》〕*_~`]*/uy
const SPACE = /\s*/uy
const WORD_AHEAD = /\p{L}*/uy
const HAS_WORD = /[\p{L}\p{N}]/u
/** Scripts without spaces, and Hangul: a letter directly after the mark starts a new sentence. */
const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Thai}]/u
const LIST_NUMBER = /^[\s>#*+-]*\d{1,3}$/
/** Matches in a web address, a path, a mail address or a file name, but not in a plain word. */
const ADDRESS = /[./\\@_=]|^www$/
const LINK = /:\/\/|^www\./
/** UTF-16 units of the longest word before a stop. A longer one is an address. */
const WORD_MAX = 48

export interface Judgement {
  /** "wait" if the verdict depends on the next characters. */
  readonly verdict: "end" | "inside" | "wait"
  /** The position after the marks and the closers that belong to them. */
  readonly end: number
}

const skip = (pattern: RegExp, text: string, from: number): number => {
  pattern.lastIndex = from
  return pattern.test(text) ? pattern.lastIndex : from
}

const wordBefore = (text: string, at: number): string =>
  (/\S*$/.exec(text.slice(Math.max(0, at - WORD_MAX), at))?.[0] ?? "").replace(/^[^\p{L}\p{N}]+/u, "")

/**
 * Whether the mark at `at`, which is not a line break, ends the sentence that `text` starts with. If the sentence
 * `startsLine`, "1." is a list number. Answers "wait" only where the next token makes a difference.
 */
export const judge = (text: string, at: number, startsLine: boolean): Judgement => {
  const marksEnd = skip(MARKS, text, at)
  const marks = text.slice(at, marksEnd)
  const narrow = /^[.!?…．]/.test(marks)
  const end = skip(narrow ? CLOSERS : WIDE_CLOSERS, text, marksEnd)
  const found = (verdict: Judgement["verdict"]): Judgement => ({ verdict, end })
  if (!HAS_WORD.test(text.slice(0, at))) return found("inside")
  if (!narrow) return found("end")

  const nextAt = skip(SPACE, text, end)
  if (text.slice(end, nextAt).includes("\n")) return found("end")
  const spaced = nextAt > end
  const next = text.slice(nextAt, nextAt + 2)
  const closed = end > marksEnd
  const stop = marks === "." || marks === "．"

  if (next !== "" && !spaced) {
    if (UNSPACED.test(next)) return found("end")
    return found(/^[\p{L}\p{N},;:/%@#&=+-]/u.test(next) ? "inside" : "end")
  }
  const small = /^\p{Ll}/u.test(next)
  if (!stop) {
    if (next === "" && !spaced) return found(LINK.test(wordBefore(text, at)) ? "wait" : "end")
    return found(small && (closed || /[.…]/.test(marks)) ? "inside" : "end")
  }
  return found(judgeStop(text, at, startsLine, { spaced, nextAt, next, small, closed }))
}

interface Ahead {
  readonly spaced: boolean
  readonly nextAt: number
  readonly next: string
  readonly small: boolean
  readonly closed: boolean
}

/** A single full stop before a space or the end of the text so far. */
const judgeStop = (text: string, at: number, startsLine: boolean, ahead: Ahead): Judgement["verdict"] => {
  const word = wordBefore(text, at)
  const unknown = ahead.next === ""
  if (word === "") return unknown && !ahead.spaced ? "wait" : "end"
  if (/\p{Nd}$/u.test(word)) {
    if (startsLine && LIST_NUMBER.test(text.slice(0, at))) return "inside"
    if (unknown) return "wait"
    if (ahead.small) return "inside"
    if (!/^\p{Nd}{1,2}$/u.test(word)) return "end"
    const wordEnd = skip(WORD_AHEAD, text, ahead.nextAt)
    const complete = wordEnd < text.length
    if (!followsOrdinal(text.slice(ahead.nextAt, wordEnd), complete)) return "end"
    return complete ? "inside" : "wait"
  }
  switch (abbreviationOf(word)) {
    case "leading":
      return "inside"
    case "before-number":
      return unknown ? "wait" : /^\p{Nd}/u.test(ahead.next) ? "inside" : "end"
    case "either":
      return unknown ? "wait" : ahead.small || /^[\p{Nd},;:)&–—-]/u.test(ahead.next) ? "inside" : "end"
    case "none":
      if (unknown && !ahead.spaced && ADDRESS.test(word)) return "wait"
      return ahead.closed && ahead.small ? "inside" : "end"
  }
}

/** The sentences of a complete text, without the space around them. */
export const sentencesOf = (text: string): ReadonlyArray<string> => {
  const sentences: Array<string> = []
  let rest = text
  for (let end = firstEnd(rest); rest !== ""; end = firstEnd(rest)) {
    const sentence = rest.slice(0, end).trim()
    if (sentence !== "") sentences.push(sentence)
    rest = rest.slice(end).trimStart()
  }
  return sentences
}

/** Where the first sentence ends; the length of a text with one sentence. */
const firstEnd = (text: string): number => {
  let from = 0
  for (let found = nextCandidate(text, 0); found !== null; found = nextCandidate(text, from)) {
    if (found[0] === "\n") return found.index + 1
    const { verdict, end } = judge(text, found.index, true)
    if (verdict === "end") return end
    from = found.index + 1
  }
  return text.length
}
