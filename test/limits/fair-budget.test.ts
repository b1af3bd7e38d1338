import { expect, test } from "bun:test"
import { FastCheck as fc } from "effect"
import { makeShares } from "../../src/limits/fair-budget.ts"

/** The same draws in every run. */
const SEED = 23

/** How much a user gets who takes one at a time. */
const takeAll = (shares: ReturnType<typeof makeShares>, user: string) => {
  let count = 0
  while (shares.take(user, 1)) count += 1
  return count
}

test("one user alone gets a half, and leaves as much to the next", () => {
  const shares = makeShares(100)
  expect(takeAll(shares, "a")).toBe(50)
  expect(takeAll(shares, "b")).toBe(25)
  expect(shares.has("c", 25)).toBe(true)
  expect(shares.has("c", 26)).toBe(false)
  expect(shares.size()).toEqual({ taken: 75, users: 2 })
})

test("many who want all of it leave room for who comes next", () => {
  const shares = makeShares(512)
  for (let round = 0; round < 512; round += 1)
    for (let user = 0; user < 64; user += 1) shares.take(`${user}`, 1)
  expect(takeAll(shares, "late")).toBeGreaterThanOrEqual(4)
})

test("one place is for whoever comes first", () => {
  const shares = makeShares(1)
  expect(shares.take("a", 1)).toBe(true)
  expect(shares.take("b", 1)).toBe(false)
  shares.giveBack("a", 1)
  expect(shares.take("b", 1)).toBe(true)
})

test("without a bound everyone takes as much as they like", () => {
  const shares = makeShares(Number.POSITIVE_INFINITY)
  for (let i = 0; i < 1000; i += 1) expect(shares.take("a", 1e9)).toBe(true)
})

test("whatever comes: no more is taken than there is, and what is given back is there again", () => {
  const step = fc.record({ user: fc.nat(4), amount: fc.integer({ min: 1, max: 40 }), gives: fc.boolean() })
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 200 }), fc.array(step, { maxLength: 80 }), (all, steps) => {
      const shares = makeShares(all)
      const held: Array<{ readonly user: string; readonly amount: number }> = []
      const sum = (of: typeof held) => of.reduce((total, { amount }) => total + amount, 0)
      for (const { user, amount, gives } of steps) {
        const last = gives ? held.pop() : undefined
        if (last !== undefined) shares.giveBack(last.user, last.amount)
        else if (shares.take(`${user}`, amount)) {
          held.push({ user: `${user}`, amount })
          // As much was free as it now has of it.
          const own = held.filter((each) => each.user === `${user}`)
          expect(sum(own)).toBeLessThanOrEqual(all - sum(held) + amount)
        }
        expect(shares.size()).toEqual({
          taken: sum(held),
          users: new Set(held.map((each) => each.user)).size,
        })
        expect(sum(held)).toBeLessThanOrEqual(all)
      }
      for (const { user, amount } of held) shares.giveBack(user, amount)
      expect(shares.size()).toEqual({ taken: 0, users: 0 })
    }),
    { seed: SEED, numRuns: 300 },
  )
})
