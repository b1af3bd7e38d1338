import { make } from "./dom.ts"
import { duration } from "./duration.ts"
import { type TurnTimes, ticksOf } from "./waterfall-spans.ts"

/** The turn's stages as bars on a time axis, in a table so that screen readers can read it. */
export const waterfall = (times: TurnTimes, isOpen: boolean): HTMLElement => {
  const { spans } = times
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
    make("caption", { class: "unseen" }, `Duration of each stage, from the end of ${times.since}`),
    make("tbody", {}, ...rows, axis),
  )
  const summary = make(
    "summary",
    {},
    make("b", {}, duration(times.firstAudio)),
    " to the first sound",
    make("span", { class: "whole" }, `, ${duration(times.total)} in all`),
  )
  return make("details", { class: "times", ...(isOpen ? { open: "" } : {}) }, summary, table)
}
