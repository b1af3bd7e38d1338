import { readHeld, readHidden, readTextTag } from "./hidden-markup.ts"
import {
  type Draft,
  enter,
  find,
  initialState,
  type MarkupState,
  markOf,
  type Place,
  pass,
  releaseHeld,
  take,
} from "./markup-state.ts"
import { enterBare, looksBare, readBare, readChannel, readSpeaker } from "./message-headers.ts"

/** What may begin markup or code. */
const TRIGGER = /[<[◁`~]/
/** The marks around code. A longer run counts as several: to wait for its end would take the square of its length. */
const RUN = /^(?:`{1,100}|~{1,100})/
const MAX_RUN = 100

/** Whether more marks may follow. */
const isOpenRun = (draft: Draft, run: string) =>
  run.length === draft.pending.length && run.length < MAX_RUN && !draft.isEnd

const readText = (draft: Draft): boolean => {
  const bare = enterBare(draft)
  if (bare !== "none") return bare === "entered"
  pass(draft, take(draft, find(draft, TRIGGER)))
  if (draft.pending === "") return false
  const [run] = RUN.exec(draft.pending) ?? []
  if (run === undefined) return readTextTag(draft)
  if (isOpenRun(draft, run)) return false
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
  if (isOpenRun(draft, run)) return false
  if (isFence ? run.length >= draft.until.length : run === draft.until) enter(draft, "text")
  pass(draft, take(draft, run.length))
  return true
}

const readers: { readonly [P in Place]: (draft: Draft) => boolean } = {
  text: readText,
  code: readCode,
  hidden: readHidden,
  held: readHeld,
  speaker: readSpeaker,
  channel: readChannel,
  bare: readBare,
  over: (draft) => take(draft, draft.pending.length) === "",
}

type Step = readonly [MarkupState, string]

const run = (state: MarkupState, chunk: string, isEnd: boolean): Step => {
  const draft: Draft = { ...state, pending: state.pending + chunk, out: "", isEnd }
  do {
    while (draft.pending !== "" && readers[draft.place](draft)) {}
  } while (isEnd && releaseHeld(draft))
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
    !state.isVoid &&
    !state.trims &&
    !state.pauses &&
    !TRIGGER.test(chunk)
  if (!isPlain) return run(state, chunk, false)
  return [chunk === "" ? state : { ...state, last: chunk.slice(-1), mark: markOf(chunk, state.mark) }, chunk]
}

/** The text that waited, at the end of the reply. */
export const finish = (state: MarkupState): Step => run(state, "", true)

/** A whole reply without markup for machines. */
export const withoutMarkup = (reply: string): string => {
  if (!TRIGGER.test(reply) && !looksBare(reply)) return reply.trimStart()
  const [pushed, text] = push(initialState, reply)
  const [finished, rest] = finish(pushed)
  return finished.retractions > pushed.retractions ? rest : text + rest
}
