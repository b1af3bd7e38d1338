import type { Timings } from "../client/client.ts"
import { duration, make } from "./dom.ts"

/** A stage of a turn on the time axis, in ms; 0 is the end of the upload. */
export interface Span {
  readonly name: string
  readonly kind: "upload" | "checks" | "hearing" | "thinking" | "speaking" | "rest"
  readonly from: number
  readonly to: number
  /** What the row's number says: the span's length, or the moment of its end. */
  readonly says: string
}

/** The stages in their order. Those that overlap begin where the service asked for them. */
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

/** Round numbers for an axis from `from` to `to`, about five of them. */
export const ticksOf = (from: number, to: number): ReadonlyArray<number> => {
  const rough = Math.max(1, (to - from) / 5)
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = power * ([1, 2, 5, 10].find((each) => each * power >= rough) ?? 10)
  const first = Math.ceil(from / step)
  return Array.from({ length: Math.floor(to / step) - first + 1 }, (_, at) => (first + at) * step)
}

/** The turn's bars on a time axis, closed unless told; as a table, so that it can be heard as well. */
export const waterfall = (timings: Timings, isOpen: boolean): HTMLElement => {
  const spans = spansOf(timings)
  const from = Math.min(...spans.map((span) => span.from))
  const to = Math.max(1, ...spans.map((span) => span.to))
  const place = (ms: number) => `${(100 * (ms - from)) / (to - from)}%`
  const at = <E extends HTMLElement>(element: E, start: number, end?: number) => {
    element.style.left = place(start)
    if (end !== undefined) element.style.width = `${(100 * (end - start)) / (to - from)}%`
    return element
  }

  const rows = spans.map((span) => {
    const bar = at(make("i", { class: `bar ${span.kind}` }), span.from, span.to)
    return make(
      "tr",
      {},
      make("th", { scope: "row" }, span.name),
      make("td", { class: "track" }, bar),
      make("td", { class: "number" }, span.says),
    )
  })
  const ticks = ticksOf(from, to).map((ms) => at(make("span", { class: "tick" }, `${ms}`), ms))
  const axis = make(
    "tr",
    { class: "axis", "aria-hidden": "true" },
    make("th"),
    make("td", { class: "track" }, ...ticks),
    make("td", { class: "number" }, "ms"),
  )
  const table = make(
    "table",
    { class: "waterfall" },
    make("caption", { class: "unseen" }, "Where the time went, from the end of the upload on"),
    make("tbody", {}, ...rows, axis),
  )
  const summary = make(
    "summary",
    {},
    make("b", {}, duration(timings.firstAudio)),
    " to the first sound",
    make("span", { class: "whole" }, `, ${duration(timings.total)} in all`),
  )
  return make("details", { class: "times", ...(isOpen ? { open: "" } : {}) }, summary, table)
}
