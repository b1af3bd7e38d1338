import type { Timings } from "../client/client.ts"
import { duration } from "./duration.ts"

/** A stage of a turn on the time axis, in ms. */
export interface Span {
  readonly name: string
  readonly kind: "upload" | "checks" | "hearing" | "thinking" | "speaking" | "rest"
  readonly from: number
  readonly to: number
  /** The row's number. */
  readonly says: string
}

/** How long the stages of a turn took. */
export interface TurnTimes {
  /** In order. */
  readonly spans: ReadonlyArray<Span>
  /** 0 on the axis is the end of this. */
  readonly since: "the upload" | "the speech"
  /** To the first audio, in ms. */
  readonly firstAudio: number
  /** To the last audio, in ms. */
  readonly total: number
}

const span = (
  name: string,
  kind: Span["kind"],
  from: number,
  to: number,
  says = duration(to - from),
): Span => ({ name, kind, from, to, says })

/** The stages of a recording's turn. Overlapping stages begin with the request to their provider. */
export const timesOf = (timings: Timings): TurnTimes => {
  const checked = timings.validate + timings.transcode
  const heard = checked + timings.stt
  const thought = heard + timings.llmTtft
  const { firstAudio } = timings
  const total = Math.max(timings.total, firstAudio)
  const spans = [
    span("Upload", "upload", -timings.upload, 0),
    span("Checks", "checks", 0, checked),
    span("Speech to text", "hearing", checked, heard),
    span("First word", "thinking", heard, thought),
    span("First sound", "speaking", Math.max(0, firstAudio - timings.ttsTtfb), firstAudio),
    span("Whole reply", "rest", firstAudio, total),
  ]
  return { spans, since: "the upload", firstAudio, total }
}

/** When the page learned of each step of a hands-free turn, in ms of any one clock. */
export interface LiveMoments {
  /** The service has found the end of the speech. */
  readonly spoken: number
  readonly transcribed: number
  readonly firstText: number
  readonly firstAudio: number
  readonly lastAudio: number
}

/** The stages of a hands-free turn, as the page sees them: each begins with the end of the one before. */
export const liveTimesOf = (moments: LiveMoments): TurnTimes => {
  const since = (moment: number) => Math.max(0, moment - moments.spoken)
  const firstAudio = since(moments.firstAudio)
  const total = Math.max(firstAudio, since(moments.lastAudio))
  const thought = Math.min(firstAudio, since(moments.firstText))
  const heard = Math.min(thought, since(moments.transcribed))
  const spans = [
    span("Speech to text", "hearing", 0, heard),
    span("First word", "thinking", heard, thought),
    span("First sound", "speaking", thought, firstAudio),
    span("Whole reply", "rest", firstAudio, total),
  ]
  return { spans, since: "the speech", firstAudio, total }
}

/** About five round numbers for an axis from `from` to `to`. */
export const ticksOf = (from: number, to: number): ReadonlyArray<number> => {
  const rough = Math.max(1, (to - from) / 5)
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = power * ([1, 2, 5, 10].find((each) => each * power >= rough) ?? 10)
  const first = Math.ceil(from / step)
  return Array.from({ length: Math.floor(to / step) - first + 1 }, (_, at) => (first + at) * step)
}
