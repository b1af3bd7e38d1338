import {
  close,
  type Draft,
  enter,
  find,
  initialState,
  type MarkupState,
  otherSpeaker,
  type Place,
  pass,
  retract,
  take,
  trimAfterRemoval,
} from "./markup-state.ts"
import { recognizeTag, type Tag } from "./markup-tags.ts"
import { afterChannel, afterSpeaker, afterToken } from "./special-tokens.ts"

/** What may begin markup or code. */
const TRIGGER = /[<[◁`~]/
const HIDDEN_TRIGGER = /[<[◁]/
/** The marks around code. A longer run is several: to wait for its end would take the square of its length. */
const RUN = /^(?:`{1,100}|~{1,100})/
const HEADER_END = /[<\n]/
/** UTF-16 units of the longest header of a message. */
const MAX_HEADER = 100

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
  } else if (role === "thinking" && closes) retract(draft)
  else if ((role === "thinking" || role === "tool") && !closes) {
    draft.hasThought ||= role === "thinking"
    enter(draft, "hidden", name)
  }
}

const THINK = new Set(["think", "thinking"])
const endsBlock = (name: string, until: string) => name === until || (THINK.has(name) && THINK.has(until))

/** A tag in hidden text. */
const applyHiddenTag = (draft: Draft, { role, name, closes }: Tag): void => {
  if (draft.until === "") {
    if (role === "special") applyToken(draft, name)
  } else if (closes && endsBlock(name, draft.until)) close(draft)
}

/**
 * Handles the tag at the start of the pending text. False if more text is needed. Without a tag, `orElse` gets the
 * character.
 */
const readTag = (
  draft: Draft,
  apply: (draft: Draft, tag: Tag) => void,
  orElse: (draft: Draft, character: string) => void,
): boolean => {
  const found = recognizeTag(draft.pending, draft.last)
  if (found === "partial" && !draft.isEnd) return false
  if (typeof found === "string") orElse(draft, take(draft, 1))
  else {
    take(draft, found.length)
    apply(draft, found)
  }
  return true
}

const drop = () => undefined

const BARE = /^\s*analysis[A-Z]/
const BARE_START = "analysis"
const BARE_END = "assistantfinal"

/** Whether the reply begins with bare thinking, or may turn out to. */
const beginsBare = ({ last, pending }: Draft): boolean | "partial" => {
  if (last !== "") return false
  if (BARE.test(pending)) return true
  const start = pending.trimStart()
  return start !== "" && BARE_START.startsWith(start) ? "partial" : false
}

const readBare = (draft: Draft): boolean => {
  const at = draft.pending.indexOf(BARE_END)
  if (at < 0) {
    take(draft, Math.max(0, draft.pending.length - BARE_END.length + 1))
    return false
  }
  take(draft, at + BARE_END.length)
  close(draft)
  return true
}

const readText = (draft: Draft): boolean => {
  const isBare = beginsBare(draft)
  if (isBare === true) {
    take(draft, draft.pending.indexOf(BARE_START) + BARE_START.length)
    trimAfterRemoval(draft)
    draft.hasThought = true
    enter(draft, "bare")
    return true
  }
  if (isBare === "partial" && !draft.isEnd) return false
  pass(draft, take(draft, find(draft, TRIGGER)))
  if (draft.pending === "") return false
  const [run] = RUN.exec(draft.pending) ?? []
  if (run === undefined) return readTag(draft, applyTag, pass)
  if (run.length === draft.pending.length && run.length < 100 && !draft.isEnd) return false
  pass(draft, take(draft, run.length))
  if (run.startsWith("`") || run.length >= 3) enter(draft, "code", run)
  return true
}

/** Code ends with the marks that opened it. Code in a sentence also ends with its line. */
const readCode = (draft: Draft): boolean => {
  const isFence = draft.until.length >= 3
  const mark = draft.until.slice(0, 1)
  pass(draft, take(draft, find(draft, isFence ? (mark === "`" ? /`/ : /~/) : /[`\n]/)))
  if (draft.pending === "") return false
  const [run = ""] = RUN.exec(draft.pending) ?? []
  if (run === "") {
    enter(draft, "text")
    return true
  }
  if (run.length === draft.pending.length && run.length < 100 && !draft.isEnd) return false
  if (isFence ? run.length >= draft.until.length : run === draft.until) enter(draft, "text")
  pass(draft, take(draft, run.length))
  return true
}

const readHidden = (draft: Draft): boolean => {
  take(draft, find(draft, HIDDEN_TRIGGER))
  return draft.pending !== "" && readTag(draft, applyHiddenTag, drop)
}

const readSpeaker = (draft: Draft): boolean => {
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

const readChannel = (draft: Draft): boolean => {
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
  return readTag(
    draft,
    (_, { name }) => {
      if (name === "message") enterChannel(draft)
    },
    (_, character) => {
      draft.until += character
    },
  )
}

const readers: { readonly [P in Place]: (draft: Draft) => boolean } = {
  text: readText,
  code: readCode,
  hidden: readHidden,
  speaker: readSpeaker,
  channel: readChannel,
  bare: readBare,
  over: (draft) => take(draft, draft.pending.length) === "",
}

type Step = readonly [MarkupState, string]

const run = (state: MarkupState, chunk: string, isEnd: boolean): Step => {
  const draft: Draft = { ...state, pending: state.pending + chunk, out: "", isEnd }
  while (draft.pending !== "" && readers[draft.place](draft)) {}
  const { out, isEnd: _, ...next } = draft
  return [next, out]
}

/**
 * Removes the markup for machines from a reply: thinking, tool calls, control tokens, SSML and wrappers. Text that may
 * become markup waits until it can be told; all other text is passed on at once. The result does not depend on how the
 * reply is cut into chunks, as long as no cut splits a surrogate pair.
 */
export const push = (state: MarkupState, chunk: string): Step => {
  const isPlain =
    state.place === "text" &&
    state.pending === "" &&
    state.last !== "" &&
    !state.trims &&
    !state.pauses &&
    !TRIGGER.test(chunk)
  if (!isPlain) return run(state, chunk, false)
  return [chunk === "" ? state : { ...state, last: chunk.slice(-1) }, chunk]
}

/** The text that waited, at the end of the reply. */
export const finish = (state: MarkupState): Step => {
  const [next, text] = run(state, "", true)
  return [{ ...next, blank: "" }, text + next.blank]
}

/** A whole reply without markup for machines. */
export const withoutMarkup = (reply: string): string => {
  if (!TRIGGER.test(reply) && !BARE.test(reply)) return reply
  const [pushed, text] = push(initialState, reply)
  const [finished, rest] = finish(pushed)
  return finished.retractions > pushed.retractions ? rest : text + rest
}
