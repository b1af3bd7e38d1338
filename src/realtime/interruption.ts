import type { Option } from "effect"
import { countWords, isBackchannel } from "./backchannels.ts"

export interface InterruptionSettings {
  /** Voiced time below which speech during a reply never interrupts it, in ms. */
  readonly minMs: number
  /** Voiced time from which speech interrupts whatever its words are, in ms. Shorter speech waits for its transcript. */
  readonly maxBackchannelMs: number
  /** Words below which speech does not interrupt. 0: no limit. */
  readonly minWords: number
}

/** Speech during a reply. */
export interface SpeechDuringReply {
  readonly voicedMs: number
  /** Undefined while it is not known. */
  readonly transcript: string | undefined
  /** ISO 639-1. */
  readonly language: Option.Option<string>
}

/** Whether a text has words of its own: it is not empty, and no "mhm". */
export const isMeant = (text: string, language: Option.Option<string>): boolean =>
  countWords(text) > 0 && !isBackchannel(text, language)

/**
 * Whether speech during a reply interrupts it, as far as it is known now. A transcript decides as soon as there is one, and
 * the length of the speech until then.
 */
export const interrupts = (
  { minMs, maxBackchannelMs, minWords }: InterruptionSettings,
  { voicedMs, transcript, language }: SpeechDuringReply,
): boolean => {
  if (voicedMs < minMs) return false
  if (transcript !== undefined && isMeant(transcript, language) && countWords(transcript) >= minWords)
    return true
  return minWords === 0 && voicedMs >= Math.max(minMs, maxBackchannelMs)
}
