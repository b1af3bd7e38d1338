import { recognizeTag, type Tag } from "./markup-tags.ts"
import { afterChannel, afterSpeaker, afterToken } from "./special-tokens.ts"

/**
 * Where in a reply the text is.
 *
 * - `text`: words for people.
 * - `code`: in backticks or a fence, where a tag is an example. `until`: the marks that opened it.
 * - `hidden`: thinking or a tool call. `until`: the name of the tag that ends it, or "" for a special token.
 * - `speaker`, `channel`: the header of a message. `until`: what came of it.
 * - `over`: the model writes the words of the user. Nothing more is a reply.
 */
export type Place = "text" | "code" | "hidden" | "speaker" | "channel" | "over"

export interface MarkupState {
  readonly place: Place
  readonly until: string
  /** Text that may become markup. */
  readonly pending: string
  /** White space before the first word. It waits for the word. */
  readonly blank: string
  /** The last character that was passed on. "" before the first word. */
  readonly last: string
  /** The white space that comes next is dropped. */
  readonly trims: boolean
  /** A tag that separates words was removed. */
  readonly pauses: boolean
  /** The model thought. */
  readonly hasThought: boolean
  /** How often the text so far turned out to be thinking. The text that was passed on before is then void. */
  readonly retractions: number
}

export const initialState: MarkupState = {
  place: "text",
  until: "",
  pending: "",
  blank: "",
  last: "",
  trims: false,
  pauses: false,
  hasThought: false,
  retractions: 0,
}

type Draft = { -readonly [K in keyof MarkupState]: MarkupState[K] } & { out: string; readonly isEnd: boolean }

/** What may begin markup or code. */
const TRIGGER = /[<[◁`~]/
const HIDDEN_TRIGGER = /[<[◁]/
const HEADER_END = /[<\n]/
/** Scripts without spaces between words. */
const UNSPACED = /^[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}]/u
/** UTF-16 units of the longest header of a message. */
const MAX_HEADER = 100

const pass = (draft: Draft, given: string): void => {
  let text = draft.trims ? given.trimStart() : given
  if (text === "") return
  draft.trims = false
  if (draft.last === "") {
    text = draft.blank + text
    draft.blank = ""
    if (text.trimStart() === "") {
      draft.blank = text
      return
    }
  } else if (draft.pauses && /\S/.test(draft.last) && /^[\p{L}\p{N}]/u.test(text) && !UNSPACED.test(text)) {
    text = ` ${text}`
  }
  draft.pauses = false
  draft.out += text
  draft.last = text.slice(-1)
}

/** Takes the first units of the pending text. */
const take = (draft: Draft, length: number): string => {
  const text = draft.pending.slice(0, length)
  draft.pending = draft.pending.slice(length)
  return text
}

/** Of the white space on both sides of removed text, one side is enough. */
const trimAfterRemoval = (draft: Draft): void => {
  if (draft.last === "") draft.blank = ""
  if (draft.last.trim() === "") draft.trims = true
}

const enter = (draft: Draft, place: Place, until = ""): void => {
  draft.place = place
  draft.until = until
}

const close = (draft: Draft): void => {
  enter(draft, "text")
  trimAfterRemoval(draft)
}

/** A closing tag without its opening one: the chat template opened it, so all text so far is thinking. */
const retract = (draft: Draft): void => {
  if (draft.last !== "" && !draft.hasThought) {
    draft.retractions += 1
    draft.out = ""
    draft.last = ""
    draft.pauses = false
  }
  draft.hasThought = true
  trimAfterRemoval(draft)
}

/** The words of another speaker. After a reply, the model has begun to write the user's next turn. */
const otherSpeaker = (draft: Draft): void => enter(draft, draft.last === "" ? "hidden" : "over")

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

/** The position of the first match in the pending text, or its end. */
const find = ({ pending }: Draft, pattern: RegExp): number => {
  const at = pending.search(pattern)
  return at < 0 ? pending.length : at
}

const drop = () => undefined

const readText = (draft: Draft): boolean => {
  pass(draft, take(draft, find(draft, TRIGGER)))
  if (draft.pending === "") return false
  const [run] = /^(?:`+|~+)/.exec(draft.pending) ?? []
  if (run === undefined) return readTag(draft, applyTag, pass)
  if (run.length === draft.pending.length && !draft.isEnd) return false
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
  const [run = ""] = /^(?:`+|~+)/.exec(draft.pending) ?? []
  if (run === "") {
    enter(draft, "text")
    return true
  }
  if (run.length === draft.pending.length && !draft.isEnd) return false
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
  if (!TRIGGER.test(reply)) return reply
  const [pushed, text] = push(initialState, reply)
  const [finished, rest] = finish(pushed)
  return finished.retractions > pushed.retractions ? rest : text + rest
}
