import { clauseEnd, partsOf, spokenLength, wordEnd } from "./break-points.ts"
import { closesFence, mayCloseFence, mayOpenFence, openingFence } from "./code-fence.ts"
import { judge, nextCandidate } from "./sentence-end.ts"
import { toSpokenText } from "./spoken-text.ts"

/**
 * The text of one text-to-speech request. The `text` of all segments, joined, is the reply as the model wrote it. Where
 * only the words to speak had to be cut, the last part has the whole `text`, and those before it have "".
 */
export interface Segment {
  readonly index: number
  readonly text: string
  /** The words to speak. "" if there are none (code, emoji). */
  readonly spoken: string
}

/** Sizes are in the unit of `spokenLength`: the time to say one Latin character. */
export interface SegmenterState {
  /** The number of segments so far. */
  readonly index: number
  /** Complete sentences of the next segment: as written, as spoken, and their size. */
  readonly ready: string
  readonly spoken: string
  readonly readySize: number
  /** The incomplete sentence after them, how far it was searched for an end, and its size. */
  readonly tail: string
  readonly scanned: number
  readonly tailSize: number
  /** Whether `tail` starts at the start of a line. */
  readonly startsLine: boolean
  /** The marks that opened the current code fence. "" outside code. */
  readonly fence: string
  /** The most UTF-16 units of a segment's `spoken`. */
  readonly limit: number
}

export const initialState: SegmenterState = {
  index: 0,
  ready: "",
  spoken: "",
  readySize: 0,
  tail: "",
  scanned: 0,
  tailSize: 0,
  startsLine: true,
  fence: "",
  limit: Number.POSITIVE_INFINITY,
}

/**
 * A segment is released at `enough`, and no sentence may make it larger than `most`. A sentence that is larger by itself
 * is cut at a clause. The first segment is one sentence, so that audio starts early. Later ones grow: the speech before
 * them covers the wait, and fewer requests sound more natural.
 */
const SIZES = [
  { enough: 20, most: 120 },
  { enough: 60, most: 120 },
  { enough: 120, most: 240 },
] as const
const FULL_SIZE = { enough: 200, most: 400 } as const
const sizeOf = (index: number) => SIZES[index] ?? FULL_SIZE

/** The least size of a part of a sentence. Shorter parts sound torn off; LiveKit's minimum is 20 as well. */
const LEAST_FRAGMENT = 20

type Draft = { -readonly [K in keyof SegmenterState]: SegmenterState[K] } & { readonly out: Array<Segment> }

const release = (draft: Draft): void => {
  // Cleaning may add to a text that was within the limit.
  const parts = partsOf(draft.spoken, draft.limit, LEAST_FRAGMENT)
  parts.forEach((spoken, i) => {
    draft.out.push({ index: draft.index, text: i + 1 < parts.length ? "" : draft.ready, spoken })
    draft.index += 1
  })
  draft.ready = ""
  draft.spoken = ""
  draft.readySize = 0
}

/** Whether `length` more units, of the size `size`, are too long for the segment. */
const overfills = (draft: Draft, length: number, size: number): boolean => {
  const joined = draft.spoken === "" ? length : draft.spoken.length + 1 + length
  return draft.readySize + size > sizeOf(draft.index).most || joined > draft.limit
}

/** Moves the first `length` units of the tail to `ready`. */
const accept = (draft: Draft, length: number, spoken: string): void => {
  if (length === 0) return
  const text = draft.tail.slice(0, length)
  draft.tail = draft.tail.slice(length)
  draft.scanned = Math.max(0, draft.scanned - length)
  draft.tailSize -= spokenLength(text)
  draft.startsLine = text.endsWith("\n")
  draft.ready += text
  if (spoken === "") return
  draft.readySize += spokenLength(spoken)
  draft.spoken = draft.spoken === "" ? spoken : `${draft.spoken} ${spoken}`
}

/**
 * Cuts the first `length` units of the tail, whose size is `size`, at clauses while they are too long for the segment.
 * Returns how many units are left.
 */
const shorten = (draft: Draft, length: number, size: number): number => {
  let left = length
  let leftSize = size
  while (overfills(draft, left, leftSize)) {
    if (draft.spoken !== "") {
      release(draft)
      continue
    }
    const text = draft.tail.slice(0, left)
    const cut = clauseEnd(text, leftSize, sizeOf(draft.index).most, LEAST_FRAGMENT, draft.limit)
    if (cut === 0) break
    leftSize -= spokenLength(draft.tail.slice(0, cut))
    left -= cut
    accept(draft, cut, toSpokenText(draft.tail.slice(0, cut)))
    if (draft.spoken !== "") release(draft)
  }
  return left
}

/** Accepts the first `length` units of the tail as a complete sentence. */
const acceptSentence = (draft: Draft, length: number): void => {
  const left = shorten(draft, length, spokenLength(draft.tail.slice(0, length)))
  const spoken = toSpokenText(draft.tail.slice(0, left))
  if (draft.spoken !== "" && overfills(draft, spoken.length, spokenLength(spoken))) release(draft)
  accept(draft, left, spoken)
  if (draft.readySize >= sizeOf(draft.index).enough) release(draft)
}

/** Accepts a line of code, or the part of it that cannot close the fence. False if more text is needed. */
const acceptCode = (draft: Draft): boolean => {
  const newline = draft.tail.indexOf("\n", draft.scanned)
  if (newline >= 0) {
    if (draft.startsLine && closesFence(draft.tail.slice(0, newline), draft.fence)) draft.fence = ""
    accept(draft, newline + 1, "")
    return true
  }
  draft.scanned = draft.tail.length
  if (!(draft.startsLine && mayCloseFence(draft.tail))) accept(draft, draft.tail.length, "")
  return false
}

/** Whether the tail may be cut: it is neither code nor a line that may open a code fence. */
const isText = (draft: Draft): boolean =>
  draft.fence === "" && !(draft.startsLine && mayOpenFence(draft.tail))

/** Accepts the next sentence or line of the tail. False if none is complete. */
const advance = (draft: Draft): boolean => {
  if (draft.tail === "") return false
  if (draft.fence !== "") return acceptCode(draft)
  const candidate = nextCandidate(draft.tail, draft.scanned)
  if (candidate === null) {
    draft.scanned = draft.tail.length
    return false
  }
  const at = candidate.index
  const fence = draft.startsLine ? openingFence(draft.tail.slice(0, at)) : ""
  if (candidate[0] === "\n") {
    if (fence === "") {
      acceptSentence(draft, at + 1)
      return true
    }
    // Otherwise the ready sentences would wait until the model has written the code.
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
  if (verdict === "end" && fence === "") acceptSentence(draft, end)
  return true
}

type Step = readonly [SegmenterState, ReadonlyArray<Segment>]

const step = (state: SegmenterState, change: (draft: Draft) => void): Step => {
  const draft: Draft = { ...state, out: [] }
  change(draft)
  const { out, ...next } = draft
  return [next, out]
}

/** UTF-16 units that are added at once. A longer tail would be searched from its start for each of its full stops. */
const MOST_AT_ONCE = 1000

/** Adds text. The work is proportional to the length of `chunk`. */
export const push = (state: SegmenterState, chunk: string): Step =>
  step(state, (draft) => {
    for (let at = 0; at < chunk.length; at += MOST_AT_ONCE) {
      const added = chunk.slice(at, at + MOST_AT_ONCE)
      draft.tail += added
      draft.tailSize += spokenLength(added)
      while (advance(draft)) {}
      // The first sentence does not wait for a second one, however short it is ("Sure.").
      if (draft.index === 0 && draft.spoken !== "") release(draft)
      if (isText(draft)) shorten(draft, draft.tail.length, draft.tailSize)
    }
  })

/**
 * Releases text before its segment is complete: the complete sentences, or else the incomplete one up to a clause or the
 * last complete word. Releases nothing if that is less than LEAST_FRAGMENT.
 */
export const flush = (state: SegmenterState): Step =>
  step(state, (draft) => {
    if (draft.spoken === "" && isText(draft)) {
      const cut = wordEnd(draft.tail, LEAST_FRAGMENT)
      const spoken = toSpokenText(draft.tail.slice(0, cut))
      if (spokenLength(spoken) >= LEAST_FRAGMENT) accept(draft, cut, spoken)
    }
    if (draft.spoken !== "") release(draft)
  })

/** Releases all text, at the end of the reply. */
export const finish = (state: SegmenterState): Step =>
  step(state, (draft) => {
    if (draft.fence === "") acceptSentence(draft, draft.tail.length)
    else accept(draft, draft.tail.length, "")
    if (draft.ready !== "") release(draft)
  })

/** Whether `flush` may release something, now or after more text. */
export const hasPendingText = (state: SegmenterState): boolean =>
  state.spoken !== "" || (state.fence === "" && state.tail !== "")
