import { describe, expect, test } from "bun:test"
import { plans } from "../../../scripts/bench/soak/faults.ts"
import {
  accepts,
  firstOfAll,
  inputKinds,
  kinds,
  makeMix,
  type Visit,
} from "../../../scripts/bench/soak/mix.ts"

const draw = (seed: number, count: number): ReadonlyArray<Visit> => {
  const next = makeMix(seed)
  return Array.from({ length: count }, next)
}

const share = (visits: ReadonlyArray<Visit>, is: (visit: Visit) => boolean) =>
  visits.filter(is).length / visits.length

describe("the mix", () => {
  const many = draw(1, 10_000)

  test("depends on the seed only", () => {
    expect(draw(7, 50)).toEqual(draw(7, 50))
    expect(draw(8, 50)).not.toEqual(draw(7, 50))
  })

  test("has every kind at its share", () => {
    expect(Object.values(kinds).reduce((sum, { share }) => sum + share, 0)).toBe(100)
    for (const [kind, { share: wanted }] of Object.entries(kinds)) {
      expect(Math.abs(share(many, (visit) => visit.kind === kind) - wanted / 100)).toBeLessThan(0.012)
    }
  })

  test("has containers and renderings equally often", () => {
    for (const each of inputKinds)
      expect(share(many, ({ input }) => input === each)).toBeCloseTo(1 / inputKinds.length, 1)
    for (const each of accepts)
      expect(share(many, ({ accept }) => accept === each)).toBeCloseTo(1 / accepts.length, 1)
  })

  test("has every fault, only in faulty turns", () => {
    const faulty = many.filter(({ kind }) => kind === "fault at the provider")
    expect(new Set(faulty.map(({ mark }) => mark)).size).toBe(plans.length - 1)
    expect(faulty.every(({ mark }) => plans[mark] !== undefined)).toBe(true)
    const others = many.filter(({ kind }) => kind !== "fault at the provider")
    expect(others.every(({ mark }) => mark === 0)).toBe(true)
  })

  test("has 122 turns in 100 visits", () => {
    const turns = many.reduce((sum, { kind }) => sum + kinds[kind].turns, 0)
    expect(Math.abs(turns / many.length - 1.22)).toBeLessThan(0.03)
  })
})

test("the first visits have every kind once", () => {
  const first = firstOfAll()
  expect(new Set<string>(first.map(({ kind }) => kind))).toEqual(new Set<string>(Object.keys(kinds)))
  expect(new Set(first.map(({ mark }) => mark)).size).toBe(plans.length)
  const pairs = new Set(first.map(({ input, accept }) => `${input} ${accept}`))
  expect(pairs.size).toBe(inputKinds.length * accepts.length)
})
