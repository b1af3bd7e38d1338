import { tokensOf } from "../../test/support/upstream-answers.ts"
import { SAMPLE_RATE, speechOf } from "../../test/support/upstream-audio.ts"

/** How fast the scripted upstream is. A rate of Infinity is at once. */
export interface Latency {
  /** From the whole recording to the transcript. */
  readonly sttMs: number
  /** From the question to the model's first token. */
  readonly llmFirstTokenMs: number
  readonly llmTokensPerSecond: number
  /** From the text to the speech's first byte. */
  readonly ttsFirstByteMs: number
  /** After its first chunk, speech comes at so many times the speed at which it plays. */
  readonly ttsRealTimeFactor: number
}

/** What hosted models take: medians seen are 80 to 600 ms for a transcript, 200 to 500 to a token, 150 to 450 to speech. */
export const hosted: Latency = {
  sttMs: 600,
  llmFirstTokenMs: 350,
  llmTokensPerSecond: 60,
  ttsFirstByteMs: 400,
  ttsRealTimeFactor: 8,
}

/** All that a turn takes then is the service's own. */
export const atOnce: Latency = {
  sttMs: 0,
  llmFirstTokenMs: 0,
  llmTokensPerSecond: Number.POSITIVE_INFINITY,
  ttsFirstByteMs: 0,
  ttsRealTimeFactor: Number.POSITIVE_INFINITY,
}

/** Three sentences of 15, 20 and 25 tokens; 18.5 s of speech. */
export const defaultReply =
  "The museum by the river opens at nine in the morning on most days. " +
  "You can walk there from the old station in ten minutes, or take the tram that stops outside. " +
  "The paintings on the second floor are worth the climb, and the small garden behind the house is a quiet place to rest."

/** 160 kbit/s, as the upstream speaks: bytes in a ms of sound. */
export const mp3BytesPerMs = 20

/** How long a text's speech plays, in ms. */
export const speechMs = (text: string): number => (speechOf({ text }, 0).samples / SAMPLE_RATE) * 1000

/** From the first token to the last one of the first so many, in ms: the first is there already. */
const writingMs = (tokens: number, { llmTokensPerSecond }: Latency) =>
  ((tokens - 1) * 1000) / llmTokensPerSecond

/** How many tokens there are when the first sentence is complete. */
const firstSentenceTokens = (reply: string): number => {
  const tokens = tokensOf(reply)
  const mark = tokens.findIndex((token) => /^\s*[.!?…。！？]$/u.test(token))
  return mark < 0 ? tokens.length : mark + 1
}

/**
 * The earliest first byte, in ms, that any server can give which speaks in sentences: the transcript, the model's
 * first token, the rest of its first sentence, and that sentence's first speech. It costs nothing itself.
 */
export const floorMs = (latency: Latency, reply: string): number =>
  latency.sttMs +
  latency.llmFirstTokenMs +
  writingMs(firstSentenceTokens(reply), latency) +
  latency.ttsFirstByteMs

/** How much sound the upstream sends at a time, in ms; the first so much comes with the first byte. */
const chunkMs = 120

/** What each of a sequential server's three calls takes, in ms. */
export const sequentialStages = (latency: Latency, reply: string) => ({
  sttMs: latency.sttMs,
  llmMs: latency.llmFirstTokenMs + writingMs(tokensOf(reply).length, latency),
  ttsMs: latency.ttsFirstByteMs + Math.max(0, speechMs(reply) - chunkMs) / latency.ttsRealTimeFactor,
})

/**
 * The first byte, in ms, of a server that costs nothing itself but takes one step after the other, each with the
 * whole result of the one before: the transcript, the reply to its last token, the speech of the whole reply to its
 * last byte, and only then the answer. With `hosted` and `defaultReply`: 600 ms; 350 ms and the time of 59 tokens
 * (983 ms); 400 ms and, but for its first 120 ms, 18.5 s of sound at 8 times the speed (2301 ms): 4634 ms in all.
 */
export const sequentialFloorMs = (latency: Latency, reply: string): number => {
  const { sttMs, llmMs, ttsMs } = sequentialStages(latency, reply)
  return sttMs + llmMs + ttsMs
}
