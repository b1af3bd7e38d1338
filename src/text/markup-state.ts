import { isUnspaced } from "./characters.ts"

/**
 * Where in a reply the text is.
 *
 * - `text`: words for people.
 * - `code`: in backticks or a fence, where a tag is an example. `until`: the marks that opened it.
 * - `hidden`: thinking or a tool call. `until`: the name of the tag that ends it, or "" for a special token.
 * - `held`: the same, or prose about the tag: "Wrap it in a <tools> element." `until`: the name of the tag. If the reply ends
 *   before the closing tag, `held` is text.
 * - `speaker`, `channel`: the header of a message. `until`: what came of it.
 * - `bare`: thinking of gpt-oss whose tokens the server removed: "analysisThe user asks.assistantfinalParis." Held as well.
 * - `over`: the model writes the words of the user. Nothing more is a reply.
 */
export type Place = "text" | "code" | "hidden" | "held" | "speaker" | "channel" | "bare" | "over"

export interface MarkupState {
  readonly place: Place
  readonly until: string
  /** Text that may become markup. */
  readonly pending: string
  /** The last character that was passed on. "" before the first word. */
  readonly last: string
  /** The last character that was passed on and is no space: a line break at the start of a line. */
  readonly mark: string
  /** Opening tags inside the hidden block. Each may have a closing tag of its own, or be a word of the thinking. */
  readonly nested: number
  /** A closing tag came without its opening one. All text before it is thinking if text follows, else it is the reply. */
  readonly isVoid: boolean
  /** What was taken and may be text after all. */
  readonly held: string
  /** The tags that are not closed in the rest of the reply: they are text. Known at its end. */
  readonly unclosed: ReadonlyArray<string>
  /** The white space that comes next is dropped. */
  readonly trims: boolean
  /** A tag that separates words was removed. */
  readonly pauses: boolean
  /** The model thought. */
  readonly hasThought: boolean
  /** The reply is known to begin with thinking whose opening tag is in the prompt. */
  readonly isOpen: boolean
  /** How often the text so far turned out to be thinking. The text that was passed on before is then void. */
  readonly retractions: number
}

export const initialState: MarkupState = {
  place: "text",
  until: "",
  pending: "",
  last: "",
  mark: "",
  nested: 0,
  isVoid: false,
  held: "",
  unclosed: [],
  trims: false,
  pauses: false,
  hasThought: false,
  isOpen: false,
  retractions: 0,
}

export type Draft = { -readonly [K in keyof MarkupState]: MarkupState[K] } & {
  out: string
  readonly isEnd: boolean
}

/** The last character of `text` that is no space or tab. Without one: `before`. */
export const markOf = (text: string, before: string): string => {
  let at = text.length - 1
  while (at >= 0 && " \t".includes(text.charAt(at))) at -= 1
  return at < 0 ? before : text.charAt(at)
}

const retract = (draft: Draft): void => {
  draft.isVoid = false
  draft.hasThought = true
  draft.retractions += 1
  draft.out = ""
  draft.last = ""
  draft.pauses = false
}

/** Passes text on. White space before the first word is dropped: a model may write any amount of it. */
export const pass = (draft: Draft, given: string): void => {
  if (draft.isVoid && given.trim() !== "") retract(draft)
  let text = draft.trims || draft.isVoid || draft.last === "" ? given.trimStart() : given
  if (text === "") return
  draft.trims = false
  if (draft.pauses && /\S/.test(draft.last) && /^[\p{L}\p{N}]/u.test(text) && !isUnspaced(text.slice(0, 2))) {
    text = ` ${text}`
  }
  draft.pauses = false
  draft.out += text
  draft.last = text.slice(-1)
  draft.mark = markOf(text, draft.mark)
}

/** Takes the first units of the pending text. */
export const take = (draft: Draft, length: number): string => {
  const text = draft.pending.slice(0, length)
  draft.pending = draft.pending.slice(length)
  return text
}

/** Of the white space on both sides of removed text, one side is enough. */
export const trimAfterRemoval = (draft: Draft): void => {
  if (draft.last.trim() === "") draft.trims = true
}

export const enter = (draft: Draft, place: Place, until = ""): void => {
  draft.place = place
  draft.until = until
}

export const close = (draft: Draft): void => {
  enter(draft, "text")
  trimAfterRemoval(draft)
}

/** A closing tag without its opening one: the chat template opened it, so all text so far is thinking. */
export const closeThinking = (draft: Draft): void => {
  if (draft.last !== "" && !draft.hasThought) {
    draft.isVoid = true
    draft.mark = ""
  } else {
    draft.hasThought = true
  }
  trimAfterRemoval(draft)
}

/** The words of another speaker. After a reply, the model has begun to write the user's next turn. */
export const otherSpeaker = (draft: Draft): void => enter(draft, draft.last === "" ? "hidden" : "over")

/** The position of the first match in the pending text, or its end. */
export const find = ({ pending }: Draft, pattern: RegExp): number => {
  const at = pending.search(pattern)
  return at < 0 ? pending.length : at
}

/** Drops the first units of the pending text for now. */
export const hold = (draft: Draft, length: number): void => {
  draft.held += take(draft, length)
}

/**
 * The block, or one inside it, is closed: what was held is no text. After the closing tag of a block inside, the text is held
 * until the next closing tag.
 */
export const closeBlock = (draft: Draft): void => {
  draft.held = ""
  if (draft.nested > 0) {
    draft.nested -= 1
    enter(draft, "held", draft.until)
  } else close(draft)
}

/** At the end of the reply: makes held text pending text again. False if there is none. */
export const releaseHeld = (draft: Draft): boolean => {
  if (draft.place !== "held" && draft.place !== "bare") return false
  draft.pending = draft.held + draft.pending
  draft.held = ""
  draft.nested = 0
  draft.unclosed = [...draft.unclosed, draft.until]
  enter(draft, "text")
  return true
}
