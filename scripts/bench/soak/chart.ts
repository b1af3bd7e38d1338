import { documentOf, escaped, margin, rounded, stepOf, width } from "../picture.ts"

export interface Point {
  readonly seconds: number
  readonly residentMb: number
  /** The heap and external memory. */
  readonly heldMb: number
}

/** A span of time with its median. */
export interface Level {
  readonly from: number
  readonly to: number
  readonly residentMb: number
}

/** Sizes in px. */
const left = 70
const right = width - margin
const top = 64
const bottom = 330
const height = bottom + 54

const ticksOf = (end: number, steps: ReadonlyArray<number>): ReadonlyArray<number> => {
  const step = stepOf(end, steps)
  return Array.from({ length: Math.ceil(end / step) + 1 }, (_, i) => i * step)
}

/** The label of an axis mark: minute and second. */
const clock = (seconds: number) => `${Math.floor(seconds / 60)}:${`${seconds % 60}`.padStart(2, "0")}`

/** Memory over the time of the load, as an SVG document. `levels` are horizontal lines. */
export const drawMemory = (
  title: string,
  points: ReadonlyArray<Point>,
  levels: ReadonlyArray<Level>,
): string => {
  const begin = points[0]?.seconds ?? 0
  const times = ticksOf(
    Math.max(1, ...points.map(({ seconds }) => seconds - begin)),
    [1, 5, 10, 30, 60, 120, 300, 600],
  )
  const sizes = ticksOf(
    Math.max(1, ...points.map(({ residentMb, heldMb }) => Math.max(residentMb, heldMb))),
    [10, 25, 50, 100, 250],
  )
  const [lastTime = 1, lastSize = 1] = [times.at(-1), sizes.at(-1)]
  const x = (seconds: number) => rounded(left + (seconds / lastTime) * (right - left))
  const y = (mb: number) => rounded(bottom - (mb / lastSize) * (bottom - top))
  const line = (kind: number, of: (point: Point) => number) =>
    `<polyline class="line${kind}" points="${points.map((point) => `${x(point.seconds - begin)},${y(of(point))}`).join(" ")}"/>`
  const named = (mb: number) => `${Math.round(mb)} MB`
  const described = levels
    .map(
      ({ from, to, residentMb }) =>
        `From ${clock(Math.round(from - begin))} to ${clock(Math.round(to - begin))} min the median is ${named(residentMb)}.`,
    )
    .join(" ")
  const legend = (kind: number, at: number, text: string) => [
    `<line class="line${kind}" x1="${at}" x2="${at + 24}" y1="32" y2="32"/>`,
    `<text x="${at + 32}" y="36">${escaped(text)}</text>`,
  ]
  return documentOf(title, `Resident memory. ${described}`, height, [
    ...sizes.flatMap((mb) => [
      `<line class="grid" x1="${left}" x2="${right}" y1="${y(mb)}" y2="${y(mb)}"/>`,
      `<text class="tick" x="${left - 8}" y="${y(mb) + 4}" text-anchor="end">${mb}${mb === lastSize ? " MB" : ""}</text>`,
    ]),
    ...times.map(
      (seconds) =>
        `<text class="tick" x="${x(seconds)}" y="${bottom + 20}" text-anchor="middle">${clock(seconds)}${seconds === 0 ? " min" : ""}</text>`,
    ),
    ...legend(0, left, "resident memory of the service"),
    ...legend(1, left + 280, "its heap, garbage included, and what that holds outside"),
    line(1, ({ heldMb }) => heldMb),
    line(0, ({ residentMb }) => residentMb),
    ...levels.flatMap(({ from, to, residentMb }) => [
      `<line class="sound" x1="${x(from - begin)}" x2="${x(to - begin)}" y1="${y(residentMb)}" y2="${y(residentMb)}"/>`,
      `<text class="heard" x="${x((from + to) / 2 - begin)}" y="${y(residentMb) - 8}" text-anchor="middle">${named(residentMb)}</text>`,
    ]),
  ])
}
