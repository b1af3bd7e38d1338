import type { Bar, Lane } from "./waterfall.ts"

/** Sizes in px of the picture's own units. */
const width = 900
const margin = 24
const axisLeft = 220
/** Room for the figure behind the longest bar. */
const axisRight = width - 90
const barHeight = 16
const rowHeight = 26
const titleHeight = 40
const axisHeight = 44

/** The least that can be seen of a bar. */
const leastWidth = 2

/** Its own ground, so that it can be read on a page of either colour; text keeps the lines behind it off. */
const style = `
    text { font: 13px ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; fill: #24292f; paint-order: stroke; stroke: #ffffff; stroke-width: 4px; }
    .lane { font-weight: 600; }
    .tick, .ms { fill: #57606a; font-variant-numeric: tabular-nums; }
    .tick { font-size: 12px; }
    .ground { fill: #ffffff; stroke: #d0d7de; }
    .grid { stroke: #d8dee4; }
    .bar0 { fill: #2f6fdb; }
    .bar1 { fill: #8a919b; }
    .sound { stroke: #c2410c; stroke-width: 1.5; stroke-dasharray: 4 3; }
    .heard { fill: #c2410c; font-weight: 600; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; stroke: #161b22; }
      .tick, .ms { fill: #9da7b3; }
      .ground { fill: #161b22; stroke: #30363d; }
      .grid { stroke: #2b313a; }
      .bar0 { fill: #58a6ff; }
      .bar1 { fill: #7d8590; }
      .sound { stroke: #ff9b5e; }
      .heard { fill: #ff9b5e; }
    }`

const escaped = (text: string) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")

const rounded = (value: number) => Number(value.toFixed(1))

const named = (ms: number) => (ms < 1 ? "<1 ms" : `${Math.round(ms)} ms`)

const lines = (...parts: ReadonlyArray<string | ReadonlyArray<string>>) => parts.flat()

/** Distance of the axis's marks in ms, such that there are at most ten. */
const stepOf = (endMs: number) =>
  [50, 100, 250, 500, 1000, 2500, 5000].find((step) => endMs / step <= 10) ?? 10_000

interface Scale {
  readonly x: (ms: number) => number
  /** The axis's marks, in ms, its end with them. */
  readonly ticks: ReadonlyArray<number>
}

const scaleOf = (lanes: ReadonlyArray<Lane>): Scale => {
  const lastMs = Math.max(1, ...lanes.flatMap(({ bars }) => bars.map(({ startMs, ms }) => startMs + ms)))
  const step = stepOf(lastMs)
  const ticks = Array.from({ length: Math.ceil(lastMs / step) + 1 }, (_, i) => i * step)
  const endMs = ticks.at(-1) ?? step
  return { x: (ms) => rounded(axisLeft + (ms / endMs) * (axisRight - axisLeft)), ticks }
}

const barOf = ({ label, startMs, ms }: Bar, kind: number, top: number, { x }: Scale) => {
  const left = x(startMs)
  const long = Math.max(leastWidth, rounded(x(startMs + ms) - left))
  const base = top + barHeight - 4
  return [
    `<text x="${axisLeft - 10}" y="${base}" text-anchor="end">${escaped(label)}</text>`,
    `<rect class="bar${kind}" x="${left}" y="${top}" width="${long}" height="${barHeight}" rx="2"/>`,
    `<text class="ms" x="${rounded(left + long + 6)}" y="${base}">${escaped(named(ms))}</text>`,
  ]
}

/** A lane's title, its bars, and a line down them at the first sound. */
const laneOf = ({ title, bars, firstSoundMs }: Lane, kind: number, top: number, scale: Scale) => {
  const first = top + titleHeight
  const heard = scale.x(firstSoundMs)
  const bottom = first + bars.length * rowHeight
  // Beside the title, however early it comes.
  const caption = Math.max(heard, axisLeft + 120)
  return lines(
    `<text class="lane" x="${margin}" y="${top + 24}">${escaped(title)}</text>`,
    `<text class="heard" x="${caption}" y="${top + 24}" text-anchor="middle">first sound ${escaped(named(firstSoundMs))}</text>`,
    `<line class="sound" x1="${heard}" x2="${heard}" y1="${top + 30}" y2="${bottom - 6}"/>`,
    bars.flatMap((bar, i) => barOf(bar, kind, first + i * rowHeight, scale)),
  )
}

/** Lanes of bars below each other on one time axis, as an SVG document. */
export const drawWaterfall = (title: string, lanes: ReadonlyArray<Lane>): string => {
  const scale = scaleOf(lanes)
  const heightOf = ({ bars }: Lane) => titleHeight + bars.length * rowHeight
  const bottom = lanes.reduce((sum, lane) => sum + heightOf(lane), margin / 2)
  const height = bottom + axisHeight
  const described = lanes
    .map(
      ({ title, bars, firstSoundMs }) =>
        `${title}: ${bars.map(({ label, ms }) => `${label} ${named(ms)}`).join(", ")}; first sound after ${named(firstSoundMs)}.`,
    )
    .join(" ")
  let top = margin / 2
  const drawn = lanes.flatMap((lane, kind) => {
    const at = top
    top += heightOf(lane)
    return laneOf(lane, kind, at, scale)
  })
  const axis = scale.ticks.flatMap((ms) => [
    `<line class="grid" x1="${scale.x(ms)}" x2="${scale.x(ms)}" y1="${margin / 2 + titleHeight - 6}" y2="${bottom}"/>`,
    `<text class="tick" x="${scale.x(ms)}" y="${bottom + 18}" text-anchor="middle">${ms}${ms === 0 ? " ms" : ""}</text>`,
  ])
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title desc">`,
    ...lines(
      `<title id="title">${escaped(title)}</title>`,
      `<desc id="desc">${escaped(described)}</desc>`,
      `<style>${style}\n  </style>`,
      `<rect class="ground" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="6"/>`,
      axis,
      drawn,
    ).map((line) => `  ${line}`),
    "</svg>",
    "",
  ].join("\n")
}
