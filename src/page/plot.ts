import { draw, make } from "./dom.ts"
import { duration } from "./duration.ts"

/** Size of the drawing, in its own units. */
const width = 132
const height = 32
const edge = 4

const median = (numbers: ReadonlyArray<number>): number => {
  const sorted = numbers.toSorted((a, b) => a - b)
  const low = sorted[Math.floor((sorted.length - 1) / 2)] ?? 0
  const high = sorted[Math.ceil((sorted.length - 1) / 2)] ?? 0
  return (low + high) / 2
}

/** The points of the line. The axis begins at 0, so that heights are comparable. */
const pointsOf = (latencies: ReadonlyArray<number>): ReadonlyArray<readonly [x: number, y: number]> => {
  const most = Math.max(1, ...latencies)
  const step = latencies.length > 1 ? (width - 2 * edge) / (latencies.length - 1) : 0
  return latencies.map((ms, at) => [
    latencies.length > 1 ? edge + at * step : width / 2,
    height - edge - (ms / most) * (height - 2 * edge),
  ])
}

/** A line of each turn's time to the first sound, in ms. Its label lists the numbers for screen readers. */
export const latencyPlot = (latencies: ReadonlyArray<number>): ReadonlyArray<Node> => {
  const points = pointsOf(latencies)
  const line = points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ")
  const said = latencies.map(duration).join(", ")
  const picture = draw(
    "svg",
    {
      viewBox: `0 0 ${width} ${height}`,
      role: "img",
      "aria-label": `Time to the first sound, turn by turn: ${said}`,
    },
    draw("path", { class: "floor", d: `M0 ${height - edge}H${width}` }),
    draw("polyline", { class: "line", points: line }),
    ...points.map(([x, y]) => draw("circle", { class: "point", cx: `${x}`, cy: `${y}`, r: "2.6" })),
  )
  const text = make(
    "span",
    { class: "plot-text" },
    make("b", {}, duration(median(latencies))),
    make("span", { class: "plot-words" }, "to the first sound"),
  )
  return [picture, text]
}
