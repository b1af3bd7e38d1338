import { Option } from "effect"
import type { Timings } from "../schema.ts"
import type { TurnState } from "./state.ts"

const known = (part: keyof Timings, to: Option.Option<number>, from: number | undefined) =>
  Option.isSome(to) && from !== undefined ? { [part]: Math.max(0, Math.round(to.value - from)) } : {}

/** The timings that are known so far, in ms. `total` is only in those of a replay. */
export const timingsOf = (state: TurnState): Partial<Timings> => {
  if (Option.isSome(state.replayOf)) return state.replayOf.value
  const { beganAt, stages } = state
  const duration = (stage: "validate" | "transcode" | "stt", since = stages[stage]) =>
    known(stage, stages[stage]?.endedAt ?? Option.none(), since?.startedAt)
  return {
    upload: Math.round(state.uploadMs),
    ...duration("validate"),
    // Includes the wait for a decoding slot, so that the parts up to the first audio add up.
    ...duration("transcode", stages.decodingSlot ?? stages.transcode),
    ...duration("stt"),
    ...known("llmTtft", state.llmTtft, 0),
    ...known("ttsTtfb", state.ttsTtfb, 0),
    ...known("firstAudio", state.firstAudioAt, beganAt),
  }
}

const noTimes: Timings = {
  upload: 0,
  validate: 0,
  transcode: 0,
  stt: 0,
  llmTtft: 0,
  ttsTtfb: 0,
  firstAudio: 0,
  total: 0,
}

/** The timings of a turn at its end, in ms; 0 for stages that it did not have. */
export const finalTimings = (state: TurnState): Timings => ({
  ...noTimes,
  ...known("total", state.lastSpokenAt, state.beganAt),
  ...timingsOf(state),
})
