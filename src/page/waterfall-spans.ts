import type { Timings } from "../client/client.ts"
import { duration } from "./duration.ts"

/** A stage of a turn on the time axis, in ms. 0 is the end of the upload. */
export interface Span {
  readonly name: string
  readonly kind: "upload" | "checks" | "hearing" | "thinking" | "speaking" | "rest"
  readonly from: number
  readonly to: number
  /** The row's number. */
  readonly says: string
}

/** The stages in order. Overlapping stages begin with the request to their provider. */
export const spansOf = (timings: Timings): ReadonlyArray<Span> => {
  const checked = timings.validate + timings.transcode
  const heard = checked + timings.stt
  const thought = heard + timings.llmTtft
  const { firstAudio } = timings
  const total = Math.max(timings.total, firstAudio)
  const span = (name: string, kind: Span["kind"], from: number, to: number, says = duration(to - from)) => ({
    name,
    kind,
    from,
    to,
    says,
  })
  return [
    span("Upload", "upload", -timings.upload, 0),
    span("Checks", "checks", 0, checked),
    span("Speech to text", "hearing", checked, heard),
    span("First word", "thinking", heard, thought),
    span("First sound", "speaking", Math.max(0, firstAudio - timings.ttsTtfb), firstAudio),
    span("Whole reply", "rest", firstAudio, total),
  ]
}

/** About five round numbers for an axis from `from` to `to`. */
export const ticksOf = (from: number, to: number): ReadonlyArray<number> => {
  const rough = Math.max(1, (to - from) / 5)
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = power * ([1, 2, 5, 10].find((each) => each * power >= rough) ?? 10)
  const first = Math.ceil(from / step)
  return Array.from({ length: Math.floor(to / step) - first + 1 }, (_, at) => (first + at) * step)
}
