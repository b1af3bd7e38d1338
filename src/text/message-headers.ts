/** The headers of messages: who speaks, and on which channel. With their tokens, or without (gpt-oss). */
import { close, closeBlock, type Draft, enter, find, hold, otherSpeaker, take } from "./markup-state.ts"
import { recognizeTag } from "./markup-tags.ts"
import { afterChannel, afterSpeaker } from "./special-tokens.ts"

const HEADER_END = /[<\n]/
/** UTF-16 units of the longest header of a message. */
const MAX_HEADER = 100

export const readSpeaker = (draft: Draft): boolean => {
  const next = afterSpeaker(draft.pending, draft.isEnd)
  if (next === "partial") return false
  take(draft, next.length)
  if (next.is === "other") {
    otherSpeaker(draft)
    return true
  }
  enter(draft, "text")
  // The line break after the header.
  if (next.is === "assistant") draft.trims = true
  return true
}

const enterChannel = (draft: Draft): void => {
  if (afterChannel(draft.until) === "reply") {
    close(draft)
  } else {
    draft.hasThought = true
    enter(draft, "hidden")
  }
}

export const readChannel = (draft: Draft): boolean => {
  draft.until += take(draft, find(draft, HEADER_END))
  if (draft.until.length > MAX_HEADER) {
    enterChannel(draft)
    return true
  }
  if (draft.pending === "") return false
  if (draft.pending.startsWith("\n")) {
    enterChannel(draft)
    return true
  }
  const found = recognizeTag(draft.pending, draft.last)
  if (found === "partial" && !draft.isEnd) return false
  if (typeof found === "string") draft.until += take(draft, 1)
  else {
    take(draft, found.length)
    if (found.name === "message") enterChannel(draft)
  }
  return true
}

const BARE = /^\s*analysis[A-Z]/
const BARE_START = "analysis"
const BARE_END = "assistantfinal"

/** Whether the reply begins like bare thinking. */
export const looksBare = (reply: string): boolean => BARE.test(reply)

/** Whether the reply begins like bare thinking, or may turn out to. */
const beginsBare = ({ last, pending, unclosed }: Draft): boolean | "partial" => {
  if (last !== "" || unclosed.includes(BARE_START)) return false
  if (looksBare(pending)) return true
  const start = pending.trimStart()
  return start !== "" && BARE_START.startsWith(start) ? "partial" : false
}

/** Enters bare thinking at the start of a reply. `wait` if more text is needed. */
export const enterBare = (draft: Draft): "entered" | "none" | "wait" => {
  const begins = beginsBare(draft)
  if (begins === true) {
    enter(draft, "bare", BARE_START)
    return "entered"
  }
  return begins === "partial" && !draft.isEnd ? "wait" : "none"
}

/** "analysisParalysis is a word." has no end mark: it is text. */
export const readBare = (draft: Draft): boolean => {
  const at = draft.pending.indexOf(BARE_END)
  if (at < 0) {
    hold(draft, Math.max(0, draft.pending.length - BARE_END.length + 1))
    return false
  }
  take(draft, at + BARE_END.length)
  draft.hasThought = true
  closeBlock(draft)
  return true
}
