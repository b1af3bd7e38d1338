/** The tags of a reply, and the blocks that they hide. */
import {
  close,
  closeBlock,
  closeThinking,
  type Draft,
  enter,
  find,
  hold,
  otherSpeaker,
  pass,
  take,
  trimAfterRemoval,
} from "./markup-state.ts"
import { recognizeTag, type Tag } from "./markup-tags.ts"
import { endsBlock, judgeTag } from "./prose-tags.ts"
import { afterToken } from "./special-tokens.ts"

const TRIGGER = /[<[◁]/

const applyToken = (draft: Draft, name: string): void => {
  const next = afterToken(name)
  switch (next) {
    case "speaker":
    case "channel":
      enter(draft, next)
      break
    case "thinking":
      draft.hasThought = true
      enter(draft, "hidden")
      break
    case "tool":
      enter(draft, "hidden")
      break
    case "other":
      otherSpeaker(draft)
      break
    case "assistant":
    case "end":
      close(draft)
      break
    case "same":
      break
  }
}

/** A tag in the text. */
const applyTag = (draft: Draft, { role, name, closes }: Tag): void => {
  trimAfterRemoval(draft)
  if (role === "special") applyToken(draft, name)
  else if (role === "pause") draft.pauses = true
  else if (role === "instruction") {
    if (!closes && draft.last !== "") enter(draft, "over")
  } else if (role === "thinking" && closes) closeThinking(draft)
  else if ((role === "thinking" || role === "tool") && !closes) {
    draft.hasThought ||= role === "thinking"
    enter(draft, "hidden", name)
  }
}

/** Handles the `<`, `[` or `◁` at the start of the pending text. False if more text is needed. */
export const readTextTag = (draft: Draft): boolean => {
  const found = recognizeTag(draft.pending, draft.last)
  if (found === "partial" && !draft.isEnd) return false
  if (typeof found === "string") {
    pass(draft, take(draft, 1))
    return true
  }
  switch (judgeTag(draft, found)) {
    case "wait":
      return false
    case "text":
      pass(draft, take(draft, found.length))
      break
    case "held":
      hold(draft, found.length)
      enter(draft, "held", found.name)
      break
    case "markup":
      take(draft, found.length)
      applyTag(draft, found)
  }
  return true
}

/** Inside a block that is hidden for certain. */
export const readHidden = (draft: Draft): boolean => {
  take(draft, find(draft, TRIGGER))
  if (draft.pending === "") return false
  const found = recognizeTag(draft.pending, draft.last)
  if (found === "partial" && !draft.isEnd) return false
  if (typeof found === "string") {
    take(draft, 1)
    return true
  }
  const { role, name, closes, length } = found
  take(draft, length)
  if (draft.until === "") {
    if (role === "special") applyToken(draft, name)
  } else if (endsBlock(name, draft.until)) {
    if (closes) closeBlock(draft)
    else if (role === "thinking") draft.nested += 1
  }
  return true
}

/** After a tag that begins a block if the block closes. */
export const readHeld = (draft: Draft): boolean => {
  hold(draft, find(draft, TRIGGER))
  if (draft.pending === "") return false
  const found = recognizeTag(draft.pending, draft.last)
  if (found === "partial" && !draft.isEnd) return false
  if (typeof found === "string") {
    hold(draft, 1)
    return true
  }
  hold(draft, found.length)
  if (!endsBlock(found.name, draft.until)) return true
  if (found.closes) {
    draft.hasThought ||= found.role === "thinking"
    closeBlock(draft)
  } else if (found.role === "thinking") draft.nested += 1
  return true
}
