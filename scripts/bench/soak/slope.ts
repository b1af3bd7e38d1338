/** Whether something grows with the number of turns: a line through the medians of many blocks, with its error. */
import { median } from "../statistics.ts"

export interface Measured {
  /** Turns that were taken before. */
  readonly taken: number
  readonly value: number
}

export interface Slope {
  /** Growth per turn, in units of the value. */
  readonly perTurn: number
  /** The standard error of it. */
  readonly error: number
}

/** Enough blocks for an estimate of the error, and enough samples in each that garbage does not matter. */
const blocks = 40

/** The line through the medians of `blocks` equal parts of the turns. Undefined with less than two samples in a block. */
export const slopeOf = (samples: ReadonlyArray<Measured>): Slope | undefined => {
  const from = samples[0]?.taken ?? 0
  const size = ((samples.at(-1)?.taken ?? 0) - from) / blocks
  if (samples.length < 2 * blocks || size <= 0) return undefined
  const parts = Map.groupBy(samples, ({ taken }) => Math.min(blocks - 1, Math.floor((taken - from) / size)))
  const points = [...parts]
    .toSorted(([a], [b]) => a - b)
    .map(([part, those]) => ({ x: (part + 0.5) * size, y: median(those.map(({ value }) => value)) }))
  const count = points.length
  if (count < blocks / 2) return undefined
  const sum = (of: (point: { x: number; y: number }) => number) =>
    points.reduce((total, point) => total + of(point), 0)
  const [x, y] = [sum(({ x }) => x) / count, sum(({ y }) => y) / count]
  const spread = sum((point) => (point.x - x) ** 2)
  const perTurn = sum((point) => (point.x - x) * (point.y - y)) / spread
  const left = points.map((point) => point.y - y - perTurn * (point.x - x))
  const squares = left.reduce((total, each) => total + each ** 2, 0)
  // Neighbours are alike: a heap that has grown stays so for a while. Such points are worth fewer than they are.
  const alike =
    squares === 0 ? 0 : left.reduce((total, each, at) => total + each * (left[at + 1] ?? 0), 0) / squares
  const correlation = Math.min(0.9, Math.max(0, alike))
  const widened = Math.sqrt((1 + correlation) / (1 - correlation))
  return { perTurn, error: Math.sqrt(squares / (count - 2) / spread) * widened }
}
