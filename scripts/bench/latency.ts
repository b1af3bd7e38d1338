import { tokensOf } from "../../test/support/upstream-answers.ts"
import { SAMPLE_RATE, speechOf } from "../../test/support/upstream-audio.ts"

/** The latency of the scripted upstream. A rate of Infinity: everything at once. */
export interface Latency {
  /** From the whole recording to the transcript. */
  readonly sttMs: number
  /** From the request to the model's first token. */
  readonly llmFirstTokenMs: number
  readonly llmTokensPerSecond: number
  /** From the text to the speech's first byte. */
  readonly ttsFirstByteMs: number
  /** The rate of speech after its first chunk, as a multiple of the speed at which it plays. */
  readonly ttsRealTimeFactor: number
}

/** Hosted models. Observed medians: 80 to 600 ms for a transcript, 200 to 500 to a token, 150 to 450 to speech. */
export const hosted: Latency = {
  sttMs: 600,
  llmFirstTokenMs: 350,
  llmTokensPerSecond: 60,
  ttsFirstByteMs: 400,
  ttsRealTimeFactor: 8,
}

/** Everything at once: what remains is the service's own time. */
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

/** Bytes per ms of the upstream's speech, at 160 kbit/s. */
export const mp3BytesPerMs = 20

/** Duration of a text's speech, in ms. */
export const speechMs = (text: string): number => (speechOf({ text }, 0).samples / SAMPLE_RATE) * 1000

/** From the first token to the last of `tokens` tokens, in ms. */
const writingMs = (tokens: number, { llmTokensPerSecond }: Latency) =>
  ((tokens - 1) * 1000) / llmTokensPerSecond

/** The number of tokens to the end of the first sentence. */
const firstSentenceTokens = (reply: string): number => {
  const tokens = tokensOf(reply)
  const mark = tokens.findIndex((token) => /^\s*[.!?…。！？]$/u.test(token))
  return mark < 0 ? tokens.length : mark + 1
}

/**
 * The earliest possible first byte, in ms, for a server that speaks sentence by sentence: the transcript, the model's
 * first token, the rest of its first sentence, and the first byte of its speech. The server itself takes no time.
 */
export const floorMs = (latency: Latency, reply: string): number =>
  latency.sttMs +
  latency.llmFirstTokenMs +
  writingMs(firstSentenceTokens(reply), latency) +
  latency.ttsFirstByteMs

/** The audio in one chunk of the upstream, in ms. The first chunk comes with the first byte. */
const chunkMs = 120

/** The times of the three requests of a sequential server, in ms. */
export const sequentialStages = (latency: Latency, reply: string) => ({
  sttMs: latency.sttMs,
  llmMs: latency.llmFirstTokenMs + writingMs(tokensOf(reply).length, latency),
  ttsMs: latency.ttsFirstByteMs + Math.max(0, speechMs(reply) - chunkMs) / latency.ttsRealTimeFactor,
})

/**
 * The first byte, in ms, of a server that takes no time itself but runs one stage after the other, each with the
 * complete result of the one before: the transcript, the reply to its last token, the speech of the whole reply to its
 * last byte, and only then the response. With `hosted` and `defaultReply`: 600 ms; 350 ms and the time of 59 tokens
 * (983 ms); 400 ms and, without its first 120 ms, 18.5 s of audio at 8 times the speed (2301 ms): 4634 ms in all.
 */
export const sequentialFloorMs = (latency: Latency, reply: string): number => {
  const { sttMs, llmMs, ttsMs } = sequentialStages(latency, reply)
  return sttMs + llmMs + ttsMs
}
