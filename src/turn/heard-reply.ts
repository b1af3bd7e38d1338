import { Option } from "effect"
import type { ItemId } from "../schema.ts"
import { type Position, type Round, roundsOf, type TurnState } from "./state.ts"

/**
 * How far the client got: the `seq` of the last event that it took, or the playing time of the audio that it played, in ms:
 * of all audio of the turn or, with `itemId`, of that message's.
 */
export type HeardUpTo =
  | { readonly delivered: number }
  | { readonly playedMs: number; readonly itemId?: ItemId }

/** The part of one message of the reply that the client heard. */
export interface HeardMessage {
  readonly round: Round
  readonly text: string
  /** The playing time of its audio, in whole ms. */
  readonly ms: number
  /** The client heard all of the message so far. */
  readonly isWhole: boolean
}

const start: Position = { text: 0, ms: 0 }

/** Of English read aloud: 150 words of 6 characters a minute. For a reply whose own pace is not known yet. */
const usualMsPerCharacter = 66

/** Below this, one slow word would decide the pace. */
const leastCharacters = 20

const paceOf = ({ text, ms }: Position): number => (text < leastCharacters ? usualMsPerCharacter : ms / text)

const words = new Intl.Segmenter(undefined, { granularity: "word" })

/** The longest start of the text that has at most `length` UTF-16 units and no cut word, without the space after it. */
const wholeWords = (text: string, length: number): string => {
  let end = 0
  for (const { index, segment } of words.segment(text)) {
    if (index + segment.length > length) break
    end = index + segment.length
  }
  return text.slice(0, end).trimEnd()
}

/** Where the reply of a round begins, after thinking that was sent. */
const textStart = (round: Round) => round.start.text + round.thinkingSent

const textUpTo = (round: Round, text: number): string =>
  round.text.slice(0, Math.max(0, text - textStart(round)))

/** Where the client is after the first `playedMs` of the audio: after whole segments, and whole words of the next. */
const played = (state: TurnState, playedMs: number): Position => {
  // MP3 frames last fractions of a millisecond, and clients report whole ones.
  const isPlayed = ({ ms }: Position) => Math.floor(ms) <= playedMs
  const from: Position = state.spoken.findLast(isPlayed) ?? start
  const to: Position | undefined = state.spoken.find((mark) => !isPlayed(mark))
  const ms = Math.min(playedMs, Math.floor(state.audioMs))
  if (ms <= from.ms) return { text: from.text, ms: Math.floor(from.ms) }
  const msPerCharacter = to === undefined ? paceOf(from) : (to.ms - from.ms) / (to.text - from.text)
  const reached = from.text + (ms - from.ms) / msPerCharacter
  // A segment is of one round.
  const round = roundsOf(state).findLast((each) => each.start.text <= from.text) ?? state.round
  const begin = Math.max(from.text, textStart(round))
  const segment = textUpTo(round, to?.text ?? Number.POSITIVE_INFINITY).slice(begin - textStart(round))
  const heard = wholeWords(segment, reached - begin)
  return { text: heard === "" ? from.text : begin + heard.length, ms }
}

/** The segments that were delivered whole. A reply that is not streamed arrives at the end: no part of it was before. */
const delivered = (state: TurnState, seq: number): Position => {
  const { text, ms } = (state.output.streaming && state.spoken.findLast((mark) => mark.seq <= seq)) || start
  return { text, ms: Math.floor(ms) }
}

/** A text that is not spoken has no playing time: all of it so far was read. */
const reached = (state: TurnState, upTo: HeardUpTo): Position => {
  if ("delivered" in upTo) return delivered(state, upTo.delivered)
  if (state.output.format === "none") return { text: Number.POSITIVE_INFINITY, ms: 0 }
  const { itemId, playedMs } = upTo
  const own = roundsOf(state).find(({ messageId }) => Option.contains(messageId, itemId))
  return played(state, playedMs + (own?.start.ms ?? 0))
}

/**
 * The messages of the reply, one of each round that has text, with the part that the client heard. By playing time it ends
 * at a word: within a segment, time is taken as proportional to text. Thinking that was sent is no part of it, but its audio
 * was played: the time counts it.
 */
export const heardMessages = (state: TurnState, upTo: HeardUpTo): ReadonlyArray<HeardMessage> => {
  const position = reached(state, upTo)
  const rounds = roundsOf(state)
  return rounds.flatMap((round, at) => {
    if (round.text === "") return []
    const end = rounds[at + 1]?.start.ms ?? state.audioMs
    const text = textUpTo(round, position.text).trimEnd()
    const ms = Math.max(0, Math.min(position.ms, Math.floor(end)) - Math.ceil(round.start.ms))
    return [{ round, text, ms, isWhole: text === round.text.trimEnd() }]
  })
}

/**
 * The part of a saved reply that was heard in the first `playedMs`: the positions within it are not saved, so it is one piece.
 */
export const heardOfSaved = (
  { text, ms }: Pick<HeardMessage, "text" | "ms">,
  playedMs: number,
): Pick<HeardMessage, "text" | "ms"> =>
  playedMs >= ms
    ? { text, ms }
    : { text: wholeWords(text, (text.length * playedMs) / ms), ms: Math.floor(playedMs) }

/** The text of a message that was heard in the first `playedMs` of its audio. Empty if the turn has no such message. */
export const heardText = (state: TurnState, itemId: ItemId, playedMs: number): string =>
  heardMessages(state, { playedMs, itemId }).find(({ round }) => Option.contains(round.messageId, itemId))
    ?.text ?? ""

/** All messages, as a client that heard all has them. */
export const wholeMessages = (state: TurnState): ReadonlyArray<HeardMessage> => {
  const rounds = roundsOf(state)
  return rounds.flatMap((round, at) => {
    if (round.text === "") return []
    const ms = Math.round((rounds[at + 1]?.start.ms ?? state.audioMs) - round.start.ms)
    return [{ round, text: round.text, ms, isWhole: true }]
  })
}

/**
 * True if any of the reply reached the client, even less than a segment. A user who interrupts has a part of it, even if
 * that was text alone, or none of it was played yet: the client may report later that more was.
 */
export const isHeard = (state: TurnState, upTo: HeardUpTo): boolean =>
  "delivered" in upTo
    ? state.output.streaming && Option.exists(state.firstOutput, (seq) => seq <= upTo.delivered)
    : roundsOf(state).some(({ isSent }) => isSent) || Option.isSome(state.firstOutput)
