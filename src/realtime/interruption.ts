import type { Option } from "effect"
import type { Settings } from "../config.ts"
import { countWords, isBackchannel } from "./backchannels.ts"

/** The settings of interruptions, each with its meaning. */
export type InterruptionSettings = Settings["Type"]["interruption"]

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
  { minMs, minWords, maxBackchannelMs }: InterruptionSettings,
  { voicedMs, transcript, language }: SpeechDuringReply,
): boolean => {
  if (voicedMs < minMs) return false
  if (transcript !== undefined && isMeant(transcript, language) && countWords(transcript) >= minWords)
    return true
  return minWords === 0 && voicedMs >= maxBackchannelMs
}
