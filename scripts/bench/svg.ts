import { documentOf, escaped, margin, rounded, stepOf, width } from "./picture.ts"
import type { Bar, Lane } from "./waterfall.ts"

/** Sizes in px of the picture's own units. */
const axisLeft = 220
/** Space for the label after the longest bar. */
const axisRight = width - 90
const barHeight = 16
const rowHeight = 26
const titleHeight = 40
const axisHeight = 44

/** The smallest visible width of a bar. */
const leastWidth = 2

const named = (ms: number) => (ms < 1 ? "<1 ms" : `${Math.round(ms)} ms`)

const lines = (...parts: ReadonlyArray<string | ReadonlyArray<string>>) => parts.flat()

/** In ms. */
const steps = [50, 100, 250, 500, 1000, 2500, 5000]

interface Scale {
  readonly x: (ms: number) => number
  /** The axis marks in ms, including the end. */
  readonly ticks: ReadonlyArray<number>
}

const scaleOf = (lanes: ReadonlyArray<Lane>): Scale => {
  const lastMs = Math.max(1, ...lanes.flatMap(({ bars }) => bars.map(({ startMs, ms }) => startMs + ms)))
  const step = stepOf(lastMs, steps)
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

/** A lane: title, bars, and a vertical line at the first audio. */
const laneOf = ({ title, bars, firstSoundMs }: Lane, kind: number, top: number, scale: Scale) => {
  const first = top + titleHeight
  const heard = scale.x(firstSoundMs)
  const bottom = first + bars.length * rowHeight
  // Always right of the title.
  const caption = Math.max(heard, axisLeft + 120)
  return lines(
    `<text class="lane" x="${margin}" y="${top + 24}">${escaped(title)}</text>`,
    `<text class="heard" x="${caption}" y="${top + 24}" text-anchor="middle">first sound ${escaped(named(firstSoundMs))}</text>`,
    `<line class="sound" x1="${heard}" x2="${heard}" y1="${top + 30}" y2="${bottom - 6}"/>`,
    bars.flatMap((bar, i) => barOf(bar, kind, first + i * rowHeight, scale)),
  )
}

/** Lanes of bars on one time axis, as an SVG document. */
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
  return documentOf(title, described, height, [...axis, ...drawn])
}
