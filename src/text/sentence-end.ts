import { abbreviationOf, followsOrdinal } from "./abbreviations.ts"

/** Where a sentence can end: a terminal mark of any script, an ellipsis, the Greek question mark, a new line. */
export const CANDIDATE = /[\p{Sentence_Terminal}…\u037E\n]/gu

const MARKS = /[\p{Sentence_Terminal}…\u037E]+/uy
/** Belongs to the sentence when it touches its end mark: quotes, brackets, Markdown emphasis and code. */
const CLOSERS = /["'”’“‘»«›)\]}*_~`]*/uy
/** After a full-width mark an opening quote may follow without a space, so only what closes is taken. */
const WIDE_CLOSERS = /["'”’»)\]}」』）】〉》〕*_~`]*/uy
const SPACE = /\s*/uy
const WORD_AHEAD = /\p{L}*/uy
const HAS_WORD = /[\p{L}\p{N}]/u
/** Scripts written without spaces: a letter right after the mark starts a new sentence. */
const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Thai}]/u
const LIST_NUMBER = /^[\s>#*+-]*\d{1,3}$/
/** Part of a web address, a path, a mail address or a file name rather than a plain word. */
const ADDRESS = /[./\\@_=]|^www$/
const LINK = /:\/\/|^www\./
/** Longest word looked at before a stop, in UTF-16 units; a longer one is an address. */
const WORD_MAX = 48

export interface Judgement {
  /** "wait": only the characters that follow can tell. */
  readonly verdict: "end" | "inside" | "wait"
  /** Just after the marks and what closes with them. */
  readonly end: number
}

const skip = (pattern: RegExp, text: string, from: number): number => {
  pattern.lastIndex = from
  return pattern.test(text) ? pattern.lastIndex : from
}

const wordBefore = (text: string, at: number): string =>
  (/\S*$/.exec(text.slice(Math.max(0, at - WORD_MAX), at))?.[0] ?? "").replace(/^[^\p{L}\p{N}]+/u, "")

/**
 * Judges the mark (not a new line) at `at`. `text` starts where the sentence does; `startsLine` says whether a
 * line starts there too, which makes "1." a list number. What can be told without the next token is told.
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

/** A single full stop, with a space or nothing (yet) after it. */
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
