import { Option } from "effect"
import type { TurnState } from "./state.ts"

/** How far the client got: the `seq` of the last event that it took, or the playing time of the audio it played, in ms. */
export type HeardUpTo = { readonly delivered: number } | { readonly playedMs: number }

export interface HeardReply {
  /** The part of the reply that the client heard. */
  readonly text: string
  /** The playing time of its audio, in whole ms. */
  readonly ms: number
}

/** A position in all text that was sent (UTF-16 units), and the playing time of the audio up to it. */
interface Position {
  readonly text: number
  readonly ms: number
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

/** All of a text up to here was sent. */
const textUpTo = ({ reply, thinkingSent }: TurnState, text: number): string =>
  reply.slice(0, Math.max(0, text - thinkingSent))

/** The part of the reply that was heard in the first `playedMs` of its audio: whole segments, and whole words of the next. */
const played = (state: TurnState, playedMs: number): HeardReply => {
  // MP3 frames last fractions of a millisecond, and clients report whole ones.
  const isPlayed = ({ ms }: Position) => Math.floor(ms) <= playedMs
  const from: Position = state.spoken.findLast(isPlayed) ?? start
  const to: Position | undefined = state.spoken.find((mark) => !isPlayed(mark))
  const before = textUpTo(state, from.text)
  const ms = Math.min(playedMs, Math.floor(state.audioMs))
  if (ms <= from.ms) return { text: before.trimEnd(), ms: Math.floor(from.ms) }
  const msPerCharacter = to === undefined ? paceOf(from) : (to.ms - from.ms) / (to.text - from.text)
  const reached = from.text + (ms - from.ms) / msPerCharacter
  const segment = textUpTo(state, to?.text ?? Number.POSITIVE_INFINITY).slice(before.length)
  const heard = wholeWords(segment, reached - Math.max(from.text, state.thinkingSent))
  return { text: (before + heard).trimEnd(), ms }
}

/** The segments that were delivered whole. A reply that is not streamed arrives at the end: no part of it was before. */
const delivered = (state: TurnState, seq: number): HeardReply => {
  const { text, ms } = (state.output.streaming && state.spoken.findLast((mark) => mark.seq <= seq)) || start
  return { text: textUpTo(state, text).trimEnd(), ms: Math.floor(ms) }
}

/**
 * The part of the reply that the client heard. By playing time it ends at a word: within a segment, time is taken as
 * proportional to text. Thinking that was sent is no part of it, but its audio was played: the time counts it. A text that
 * is not spoken has no playing time: all of it so far was read.
 */
export const heardReply = (state: TurnState, upTo: HeardUpTo): HeardReply => {
  if ("delivered" in upTo) return delivered(state, upTo.delivered)
  return state.output.format === "none"
    ? { text: state.reply.trimEnd(), ms: 0 }
    : played(state, upTo.playedMs)
}

/** The part of a saved reply that was heard in the first `playedMs`: the positions within it are not saved, so it is one piece. */
export const heardOfSaved = ({ text, ms }: HeardReply, playedMs: number): HeardReply =>
  playedMs >= ms
    ? { text, ms }
    : { text: wholeWords(text, (text.length * playedMs) / ms), ms: Math.floor(playedMs) }

/** The text of `heardReply`. */
export const heardText = (state: TurnState, upTo: HeardUpTo): string => heardReply(state, upTo).text

/**
 * True if any of the reply reached the client, even less than a segment. A user who interrupts has a part of it, even if
 * that was text alone, or none of it was played yet: the client may report later that more was.
 */
export const isHeard = (state: TurnState, upTo: HeardUpTo): boolean =>
  "delivered" in upTo
    ? state.output.streaming && Option.exists(state.firstOutput, (seq) => seq <= upTo.delivered)
    : state.isSent || Option.isSome(state.firstOutput)
