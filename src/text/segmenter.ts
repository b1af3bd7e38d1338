import { clauseEnd, measure, wordEnd } from "./break-points.ts"
import { CANDIDATE, judge } from "./sentence-end.ts"
import { speakable } from "./spoken-text.ts"

/**
 * A piece of the reply, handed to one text-to-speech call. All pieces' `text` joined is the whole reply, exactly
 * as the model wrote it. `spoken` is what is read aloud; where it is empty there is nothing to say (code, emoji).
 */
export interface Piece {
  readonly index: number
  readonly text: string
  readonly spoken: string
}

/** What is known of the reply so far. Sizes are in `measure`'s unit: about one Latin character's time to say. */
export interface Cutting {
  /** Pieces let go so far. */
  readonly index: number
  /** Whole sentences not yet let go: as written, as spoken, and how long they take to say. */
  readonly ready: string
  readonly spoken: string
  readonly readySize: number
  /** The sentence that is being written, how much of it was searched for its end, and its size. */
  readonly tail: string
  readonly scanned: number
  readonly tailSize: number
  /** Whether `tail` begins at the start of a line. */
  readonly startsLine: boolean
  /** The marks that opened the code fence we are in, or "". */
  readonly fence: string
}

export const nothingYet: Cutting = {
  index: 0,
  ready: "",
  spoken: "",
  readySize: 0,
  tail: "",
  scanned: 0,
  tailSize: 0,
  startsLine: true,
  fence: "",
}

/**
 * A piece is let go once it has `enough`, and no sentence is added that makes it larger than `most`; a sentence
 * that is larger by itself is cut at a clause. The first piece is one sentence, so that sound starts early. Then
 * the sizes grow: the speech already handed on covers the longer wait, and fewer calls sound more natural.
 */
const SIZES = [
  { enough: 20, most: 120 },
  { enough: 60, most: 120 },
  { enough: 120, most: 240 },
] as const
const FULL_SIZE = { enough: 200, most: 400 } as const
const sizeOf = (index: number) => SIZES[index] ?? FULL_SIZE

/** The least that is said before its sentence is complete; fewer words sound torn off (LiveKit's least is 20 too). */
const LEAST_FRAGMENT = 20
/** A sentence that starts like a code fence is left whole up to here, in UTF-16 units: info strings are short. */
const FENCE_LINE_MAX = 200

const FENCE_OPENS = /^[ \t]*(?:(?:[-*+>]|\d{1,3}[.)])[ \t]+)*(`{3,}(?=[^`]*$)|~{3,})/
const opensFence = (line: string): string => FENCE_OPENS.exec(line)?.[1] ?? ""
const closesFence = (line: string, fence: string): boolean => {
  const bare = line.replace(/^[>\s]+/, "").trimEnd()
  return bare.length >= fence.length && bare === fence.charAt(0).repeat(bare.length)
}

type Draft = { -readonly [K in keyof Cutting]: Cutting[K] } & { readonly out: Array<Piece> }

const release = (draft: Draft): void => {
  draft.out.push({ index: draft.index, text: draft.ready, spoken: draft.spoken })
  draft.index += 1
  draft.ready = ""
  draft.spoken = ""
  draft.readySize = 0
}

/** Moves the first `length` units of the tail to what is ready, to be spoken as `spoken`. */
const accept = (draft: Draft, length: number, spoken: string): void => {
  if (length === 0) return
  const text = draft.tail.slice(0, length)
  draft.tail = draft.tail.slice(length)
  draft.scanned = Math.max(0, draft.scanned - length)
  draft.tailSize -= measure(text)
  draft.startsLine = text.endsWith("\n")
  draft.ready += text
  if (spoken === "") return
  draft.readySize += measure(spoken)
  draft.spoken = draft.spoken === "" ? spoken : `${draft.spoken} ${spoken}`
}

/** Cuts what is too long at its clauses; `size` is the measure of the tail's first `length` units. Gives what is left of them. */
const shorten = (draft: Draft, length: number, size: number): number => {
  let left = length
  let leftSize = size
  while (draft.readySize + leftSize > sizeOf(draft.index).most) {
    if (draft.spoken !== "") {
      release(draft)
      continue
    }
    const cut = clauseEnd(draft.tail.slice(0, left), leftSize, sizeOf(draft.index).most, LEAST_FRAGMENT)
    if (cut === 0) break
    leftSize -= measure(draft.tail.slice(0, cut))
    left -= cut
    accept(draft, cut, speakable(draft.tail.slice(0, cut)))
    if (draft.spoken !== "") release(draft)
  }
  return left
}

/** Takes the first `length` units of the tail as a whole sentence. */
const sentence = (draft: Draft, length: number): void => {
  const left = shorten(draft, length, measure(draft.tail.slice(0, length)))
  const spoken = speakable(draft.tail.slice(0, left))
  if (draft.spoken !== "" && draft.readySize + measure(spoken) > sizeOf(draft.index).most) release(draft)
  accept(draft, left, spoken)
  if (draft.readySize >= sizeOf(draft.index).enough) release(draft)
}

/** One line of code, or as much of it as is there: never spoken. False when more is needed to tell. */
const code = (draft: Draft): boolean => {
  const newline = draft.tail.indexOf("\n", draft.scanned)
  if (newline >= 0) {
    if (draft.startsLine && closesFence(draft.tail.slice(0, newline), draft.fence)) draft.fence = ""
    accept(draft, newline + 1, "")
    return true
  }
  draft.scanned = draft.tail.length
  const mayClose = draft.startsLine && /^[>\s]*[`~]*\s*$/.test(draft.tail)
  if (!mayClose) accept(draft, draft.tail.length, "")
  return false
}

const atFenceLine = (draft: Draft): boolean =>
  draft.startsLine && draft.tail.length <= FENCE_LINE_MAX && opensFence(draft.tail) !== ""

/** Takes the next sentence or line out of the tail; false when none is complete. */
const advance = (draft: Draft): boolean => {
  if (draft.tail === "") return false
  if (draft.fence !== "") return code(draft)
  CANDIDATE.lastIndex = draft.scanned
  const candidate = CANDIDATE.exec(draft.tail)
  if (candidate === null) {
    draft.scanned = draft.tail.length
    return false
  }
  const at = candidate.index
  if (candidate[0] === "\n") {
    const fence = draft.startsLine ? opensFence(draft.tail.slice(0, at)) : ""
    if (fence === "") {
      sentence(draft, at + 1)
      return true
    }
    // What is ready would wait for as long as the model writes code.
    if (draft.spoken !== "") release(draft)
    draft.fence = fence
    accept(draft, at + 1, "")
    return true
  }
  const { verdict, end } = judge(draft.tail, at, draft.startsLine)
  if (verdict === "wait") {
    draft.scanned = at
    return false
  }
  draft.scanned = end
  if (verdict === "end" && !(draft.startsLine && opensFence(draft.tail.slice(0, at)) !== ""))
    sentence(draft, end)
  return true
}

type Step = readonly [Cutting, ReadonlyArray<Piece>]

const step = (state: Cutting, change: (draft: Draft) => void): Step => {
  const draft: Draft = { ...state, out: [] }
  change(draft)
  const { out, ...next } = draft
  return [next, out]
}

/** More of the reply. The work done is proportional to `chunk`. */
export const write = (state: Cutting, chunk: string): Step =>
  step(state, (draft) => {
    draft.tail += chunk
    draft.tailSize += measure(chunk)
    while (advance(draft)) {}
    // A tiny first sentence ("Sure.") is joined by the next one only if that is here already.
    if (draft.index === 0 && draft.spoken !== "") release(draft)
    if (draft.fence === "" && !atFenceLine(draft)) {
      shorten(draft, draft.tail.length, draft.tailSize)
    }
  })

/**
 * The listener has waited long enough: lets go the whole sentences there are, or else the words of the sentence
 * that is being written, up to a clause or the last whole word. Nothing where that would be a scrap.
 */
export const nudge = (state: Cutting): Step =>
  step(state, (draft) => {
    if (draft.spoken === "" && draft.fence === "" && !atFenceLine(draft)) {
      const cut = wordEnd(draft.tail, LEAST_FRAGMENT)
      const spoken = speakable(draft.tail.slice(0, cut))
      if (measure(spoken) >= LEAST_FRAGMENT) accept(draft, cut, spoken)
    }
    if (draft.spoken !== "") release(draft)
  })

/** The reply is complete: lets everything go. */
export const finish = (state: Cutting): Step =>
  step(state, (draft) => {
    if (draft.fence === "") sentence(draft, draft.tail.length)
    else accept(draft, draft.tail.length, "")
    if (draft.ready !== "") release(draft)
  })

/** Whether there is text that could be said but has not been let go. */
export const isWaiting = (state: Cutting): boolean =>
  state.spoken !== "" || (state.fence === "" && state.tail !== "")
