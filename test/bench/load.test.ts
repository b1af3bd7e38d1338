import { describe, expect, test } from "bun:test"
import { arrive, takeSteadily, takeTogether } from "../../scripts/bench/load.ts"

/** Turns of `ms` each, their number, and the largest number of concurrent ones. */
const turnsOf = (ms: number) => {
  const seen = { begun: 0, running: 0, most: 0 }
  const turn = async () => {
    seen.begun += 1
    seen.running += 1
    seen.most = Math.max(seen.most, seen.running)
    await Bun.sleep(ms)
    seen.running -= 1
    return seen.begun
  }
  return { seen, turn }
}

describe("steady clients", () => {
  test("one client takes the turns one after the other", async () => {
    const { seen, turn } = turnsOf(1)
    const taken = await takeSteadily({ clients: 1, spreadMs: 0, least: { turns: 7, ms: 0 } }, turn)
    expect(taken.counted).toEqual([1, 2, 3, 4, 5, 6, 7])
    expect(taken.others).toEqual([])
    expect(seen.most).toBe(1)
  })

  test("keep up the load until the last counted turn ends", async () => {
    const { seen, turn } = turnsOf(10)
    const taken = await takeSteadily({ clients: 4, spreadMs: 20, least: { turns: 6, ms: 0 } }, turn)
    expect(taken.counted.length).toBe(6)
    expect(taken.others.length).toBeGreaterThan(0)
    expect(taken.counted.length + taken.others.length).toBe(seen.begun)
    expect(seen.most).toBe(4)
    expect(seen.running).toBe(0)
  })

  test("run for at least the minimum time", async () => {
    const { turn } = turnsOf(5)
    const taken = await takeSteadily({ clients: 2, spreadMs: 0, least: { turns: 1, ms: 60 } }, turn)
    expect(taken.wallMs).toBeGreaterThanOrEqual(60)
    expect(taken.counted.length).toBeGreaterThan(2)
  })

  test("fail if a turn throws", async () => {
    const failing = () => Promise.reject(new Error("no speech"))
    await expect(
      takeSteadily({ clients: 2, spreadMs: 0, least: { turns: 4, ms: 0 } }, failing),
    ).rejects.toThrow("no speech")
  })
})

test("simultaneous clients start each round together", async () => {
  const { seen, turn } = turnsOf(5)
  const taken = await takeTogether(5, 3, turn)
  expect(taken.counted).toHaveLength(15)
  expect(taken.others).toEqual([])
  expect(seen.most).toBe(5)
})

describe("visits at a rate", () => {
  test("start until the time is over, and all end", async () => {
    const seen = { begun: 0, ended: 0 }
    const visit = async () => {
      seen.begun += 1
      await Bun.sleep(5)
      seen.ended += 1
    }
    await arrive({ perSecond: 10_000, mostAtATime: 100 }, visit, (begun) => begun === 12)
    expect(seen).toEqual({ begun: 12, ended: 12 })
  })

  test("overlap up to the limit", async () => {
    let inHand = 0
    let most = 0
    const visit = async () => {
      inHand += 1
      most = Math.max(most, inHand)
      await Bun.sleep(20)
      inHand -= 1
    }
    await arrive({ perSecond: 10_000, mostAtATime: 3 }, visit, (begun) => begun === 20)
    expect(most).toBe(3)
  })

  test("start at the rate, not earlier", async () => {
    const started = performance.now()
    await arrive(
      { perSecond: 100, mostAtATime: 10 },
      async () => undefined,
      (begun) => begun === 6,
    )
    expect(performance.now() - started).toBeGreaterThanOrEqual(45)
  })
})
