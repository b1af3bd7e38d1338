import { expect, test } from "bun:test"
import { PCGRandom } from "effect/Utils"
import { slopeOf } from "../../../scripts/bench/soak/slope.ts"

const line = (count: number, value: (taken: number) => number) =>
  Array.from({ length: count }, (_, at) => ({ taken: 10_000 + at * 10, value: value(at * 10) }))

test("a line is its own slope, without an error", () => {
  const slope = slopeOf(line(1000, (taken) => 5 + taken / 1000))
  expect(slope?.perTurn).toBeCloseTo(0.001, 5)
  expect(slope?.error).toBeLessThan(0.00001)
})

test("the error tells noise from growth", () => {
  const random = new PCGRandom(1)
  const noise = () => 300 + 200 * random.number()
  for (let run = 0; run < 50; run += 1) {
    const flat = slopeOf(line(2000, noise))
    const grown = slopeOf(line(2000, (taken) => noise() + taken / 100))
    expect(Math.abs(flat?.perTurn ?? 1)).toBeLessThan(4 * (flat?.error ?? 0))
    expect(grown?.perTurn).toBeGreaterThan(3 * (grown?.error ?? 1))
  }
})

test("neighbours that are alike widen the error", () => {
  const random = new PCGRandom(2)
  let walked = 0
  const walk = line(2000, () => {
    walked += random.number() - 0.5
    return walked
  })
  const shuffled = walk.map(({ taken }) => ({
    taken,
    value: walk[random.integer(walk.length)]?.value ?? 0,
  }))
  expect(slopeOf(walk)?.error).toBeGreaterThan(2 * (slopeOf(shuffled)?.error ?? 1))
})

test("peaks count for little", () => {
  const slope = slopeOf(line(2000, (taken) => (taken > 19_000 && taken % 70 === 0 ? 5000 : 100)))
  expect(slope?.perTurn).toBeCloseTo(0, 9)
})

test("few samples have no slope", () => {
  expect(slopeOf([])).toBeUndefined()
  expect(slopeOf(line(79, () => 1))).toBeUndefined()
  expect(slopeOf(line(200, () => 1).map((each) => ({ ...each, taken: 5 })))).toBeUndefined()
})
