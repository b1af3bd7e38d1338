/** Tells markup from prose about it: "Wrap it in a <tools> element." */
import type { Draft } from "./markup-state.ts"
import type { Tag } from "./markup-tags.ts"
import { afterToken } from "./special-tokens.ts"

/**
 * - `markup`: the tag has its effect.
 * - `held`: it has if its block closes in the rest of the reply.
 * - `text`: the tag is a word of a sentence.
 * - `wait`: more text is needed to tell.
 */
export type Verdict = "markup" | "held" | "text" | "wait"

const THINK = new Set(["think", "thinking"])

/** Whether the closing tag `name` ends the block of the opening tag `until`. */
export const endsBlock = (name: string, until: string) =>
  name === until || (THINK.has(name) && THINK.has(until))

const SENTENCE_END = /[\p{Sentence_Terminal}…:]/u
const OPENING_MARK = /[\s"'“‘«「(（[{]/

/** After a tag of a tool call: JSON, or a tag with a value. */
const CALL = /^\s{0,20}(?:\{|\[\s{0,5}\{|<\w{1,40}=)/
const CALL_PARTIAL = /^\s{0,20}(?:\[\s{0,5}|<\w{0,40})?$/
/** After a closing tag of thinking: the end of the line. */
const LINE_END = /^[ \t]{0,20}\r?\n/
const LINE_END_PARTIAL = /^[ \t]{0,20}\r?$/

const startsLine = ({ mark }: Draft) => mark === "" || mark === "\n"

/** Whether a tool call follows, or may. */
const callFollows = (draft: Draft, rest: string): boolean | "wait" =>
  CALL.test(rest) || (!draft.isEnd && CALL_PARTIAL.test(rest) && "wait")

/** An opening tag of thinking or a tool call. */
const judgeOpening = (draft: Draft, { name }: Tag, rest: string): Verdict => {
  if (startsLine(draft)) return "markup"
  if (draft.last === draft.mark && SENTENCE_END.test(draft.mark)) return "markup"
  const isCall = callFollows(draft, rest)
  if (isCall !== false) return isCall === "wait" ? "wait" : "markup"
  return draft.unclosed.some((its) => endsBlock(name, its)) ? "text" : "held"
}

/**
 * A closing tag of thinking without its opening one. Thinking ends with its sentence, with its line, or without any space
 * around the tag.
 */
const judgeClosing = (draft: Draft, rest: string): Verdict => {
  if (
    draft.isOpen ||
    draft.hasThought ||
    startsLine(draft) ||
    SENTENCE_END.test(draft.mark) ||
    LINE_END.test(rest)
  ) {
    return "markup"
  }
  if (LINE_END_PARTIAL.test(rest) && !draft.isEnd) return "wait"
  const isGlued = draft.last === draft.mark && /^[\p{L}\p{N}<*#]/u.test(rest)
  return isGlued && !OPENING_MARK.test(draft.last) ? "markup" : "text"
}

/** A token that hides the text after it. */
const judgeToken = (draft: Draft, rest: string): Verdict => {
  if (startsLine(draft) || SENTENCE_END.test(draft.mark) || !OPENING_MARK.test(draft.last)) return "markup"
  const isCall = callFollows(draft, rest)
  return isCall === "wait" ? "wait" : isCall ? "markup" : "text"
}

const HIDING = new Set(["speaker", "channel", "other", "thinking", "tool"])

/** The verdict on the tag at the start of the pending text, which is outside of other blocks and of code. */
export const judgeTag = (draft: Draft, tag: Tag): Verdict => {
  const rest = draft.pending.slice(tag.length, tag.length + 100)
  // Outside of a block it closes details for people.
  if (tag.name === "details" && tag.closes) return "text"
  if (tag.role === "thinking" || tag.role === "tool") {
    if (!tag.closes) return judgeOpening(draft, tag, rest)
    return tag.role === "thinking" ? judgeClosing(draft, rest) : "markup"
  }
  const hides =
    tag.role === "special" ? HIDING.has(afterToken(tag.name)) : tag.role === "instruction" && !tag.closes
  return hides ? judgeToken(draft, rest) : "markup"
}
