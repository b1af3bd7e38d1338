import type { Timings } from "../../src/schema.ts"
import { type Latency, sequentialStages } from "./latency.ts"
import { median } from "./statistics.ts"

/** A stage on the time axis, in ms from the moment the request was sent. */
export interface Bar {
  readonly label: string
  readonly startMs: number
  readonly ms: number
}

export interface Lane {
  readonly title: string
  readonly bars: ReadonlyArray<Bar>
  /** When the client has the first audio. */
  readonly firstSoundMs: number
}

/** Places bars one after the other. */
const inARow = (stages: ReadonlyArray<readonly [label: string, ms: number]>): ReadonlyArray<Bar> => {
  let at = 0
  return stages.map(([label, ms]) => {
    const bar = { label, startMs: at, ms: Math.max(0, ms) }
    at += bar.ms
    return bar
  })
}

/**
 * The stages of the turn. Parts without a timing of their own (loading the history, passing events on, fractions of a
 * ms) are in the bar of the first sentence, which is what the other stages leave of the time to the first audio.
 */
export const turnLane = (timings: Timings): Lane => {
  const { upload, validate, transcode, stt, llmTtft, ttsTtfb, firstAudio, total } = timings
  const bars = inARow([
    ["upload", upload],
    ["validate", validate],
    ["transcode", transcode],
    ["speech to text", stt],
    ["model's first token", llmTtft],
    ["rest of the first sentence", firstAudio - validate - transcode - stt - llmTtft - ttsTtfb],
    ["its first speech", ttsTtfb],
    ["streaming, saving", total - firstAudio],
  ])
  return { title: "This service", bars, firstSoundMs: upload + firstAudio }
}

/** A server without any cost of its own that runs one stage after the other on the same upstream. */
export const sequentialLane = (latency: Latency, reply: string): Lane => {
  const { sttMs, llmMs, ttsMs } = sequentialStages(latency, reply)
  const bars = inARow([
    ["speech to text", sttMs],
    ["whole reply", llmMs],
    ["whole speech", ttsMs],
  ])
  return { title: "A sequential server, at its best", bars, firstSoundMs: sttMs + llmMs + ttsMs }
}

/** The turn with the median time to its first audio. Throws if there is none. */
export const medianTurn = (turns: ReadonlyArray<Timings>): Timings => {
  const middle = median(turns.map(({ firstAudio }) => firstAudio))
  const found = turns.find(({ firstAudio }) => firstAudio === middle)
  if (found === undefined) throw new Error("There is no turn to choose from.")
  return found
}
