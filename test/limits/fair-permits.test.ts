import { describe, expect, test } from "bun:test"
import { FastCheck as fc } from "effect"
import { type FairLimits, type Limit, makeFairPermits } from "../../src/limits/fair-permits.ts"

/** The same draws in every run. */
const SEED = 21
const none = Number.POSITIVE_INFINITY

const limits = (
  total: number,
  perUser: FairLimits["perUser"],
  queue: number,
  queuePerUser = typeof perUser === "number" ? perUser : none,
): FairLimits => ({ total, perUser, queue: { total: queue, perUser: queuePerUser } })

/** Permits whose waiters are names; `giveBack` and `cancel` also return who was admitted by them. */
const makePermits = (given: FairLimits) => {
  const admitted: Array<string> = []
  const permits = makeFairPermits<string>(given, (waiter) => admitted.push(waiter))
  return {
    ...permits,
    giveBack: (user: string, count = 1) => {
      permits.giveBack(user, count)
      return admitted.splice(0)
    },
    cancel: (user: string, waiter: string) => ({
      limit: permits.cancel(user, waiter),
      admitted: admitted.splice(0),
    }),
  }
}

const empty = { taken: 0, waiting: 0, users: 0 }

describe("turn slots", () => {
  test("FIFO within a user, round-robin between users", () => {
    const permits = makePermits(limits(1, 3, 10))
    expect(permits.request("greedy", 1, "g1")).toBe("admitted")
    for (const waiter of ["g2", "g3", "g4"]) expect(permits.request("greedy", 1, waiter)).toBe("queued")
    for (const waiter of ["a1", "a2"]) expect(permits.request("a", 1, waiter)).toBe("queued")
    expect(permits.request("b", 1, "b1")).toBe("queued")
    const served = ["greedy", "greedy", "a", "b", "greedy", "a", "greedy"].flatMap((user) =>
      permits.giveBack(user),
    )
    expect(served).toEqual(["g2", "a1", "b1", "g3", "a2", "g4"])
    expect(permits.size()).toEqual(empty)
  })

  test("a user at its own limit delays nobody and keeps its place", () => {
    const permits = makePermits(limits(2, 1, 10))
    permits.request("a", 1, "a1")
    expect(permits.request("a", 1, "a2")).toBe("queued")
    expect(permits.request("b", 1, "b1")).toBe("admitted")
    expect(permits.request("c", 1, "c1")).toBe("queued")
    expect(permits.giveBack("b")).toEqual(["c1"])
    expect(permits.giveBack("a")).toEqual(["a2"])
  })

  test("a refusal names the limit", () => {
    const permits = makePermits(limits(2, 1, 1))
    permits.request("a", 1, "a1")
    expect(permits.request("a", 1, "a2")).toBe("queued")
    expect(permits.request("a", 1, "a3")).toBe("user")
    permits.request("b", 1, "b1")
    expect(permits.request("c", 1, "c1")).toBe("total")
    expect(permits.cancel("a", "a2").limit).toBe("user")
    expect(permits.cancel("a", "a2").limit).toBeUndefined()
    expect(permits.request("c", 1, "c1")).toBe("queued")
    expect(permits.cancel("c", "c1").limit).toBe("total")
  })

  test("no limits: everyone starts; no queue: nobody waits", () => {
    const open = makePermits(limits(none, none, 0))
    for (let turn = 0; turn < 1000; turn++) expect(open.request("a", 1, `${turn}`)).toBe("admitted")
    const strict = makePermits(limits(1, 5, 0))
    strict.request("a", 1, "1")
    expect(strict.request("b", 1, "2")).toBe("total")
  })
})

describe("capacity", () => {
  test("is reported after all requests, and nothing is taken", () => {
    const permits = makePermits(limits(2, 2, 2))
    for (const waiter of ["k1", "k2", "k3"]) expect(permits.requestCapacity("a", 1, waiter)).toBe("admitted")
    expect(permits.size()).toEqual(empty)
    for (const user of ["a", "b"]) permits.request(user, 1, `${user}1`)
    expect(permits.requestCapacity("c", 1, "k1")).toBe("queued")
    expect(permits.requestCapacity("d", 1, "k2")).toBe("queued")
    // Their queue is full; the one of the requests is not.
    expect(permits.requestCapacity("e", 1, "k3")).toBe("total")
    expect(permits.request("c", 1, "c1")).toBe("queued")
    expect(permits.giveBack("a")).toEqual(["c1"])
    expect(permits.giveBack("c")).toEqual(["k1", "k2"])
    expect(permits.cancel("c", "k1").limit).toBeUndefined()
    expect(permits.request("c", 1, "c1")).toBe("admitted")
    expect(permits.requestCapacity("d", 1, "k2")).toBe("queued")
    expect(permits.cancel("d", "k2").limit).toBe("total")
    expect(permits.giveBack("b")).toEqual([])
  })

  test("a user at its own limit waits for its own permits", () => {
    const permits = makePermits(limits(5, 1, 5))
    permits.request("a", 1, "a1")
    permits.request("b", 1, "b1")
    expect(permits.requestCapacity("a", 1, "k1")).toBe("queued")
    expect(permits.requestCapacity("a", 1, "k2")).toBe("user")
    expect(permits.giveBack("b")).toEqual([])
    expect(permits.giveBack("a")).toEqual(["k1"])
  })
})

describe("weights", () => {
  test("a small request does not overtake a large one, unless that waits for its own user", () => {
    const permits = makePermits(limits(10, 8, 10, none))
    expect(permits.take("a", 6)).toBe(true)
    expect(permits.request("b", 5, "large")).toBe("queued")
    expect(permits.request("c", 1, "small")).toBe("queued")
    expect(permits.canTake("c", 1)).toBe(false)
    expect(permits.giveBack("a", 2)).toEqual(["large", "small"])
    expect(permits.request("b", 4, "own")).toBe("queued")
    expect(permits.request("b", 1, "behind own")).toBe("queued")
    expect(permits.size()).toEqual({ taken: 10, waiting: 2, users: 3 })
    expect(permits.giveBack("a", 4)).toEqual([])
    expect(permits.request("c", 3, "other")).toBe("admitted")
    expect(permits.giveBack("b", 2)).toEqual([])
    expect(permits.giveBack("c", 3)).toEqual(["own", "behind own"])
  })

  test("a large request that stops waiting lets the small ones start", () => {
    const permits = makePermits(limits(10, 10, 10))
    permits.take("a", 8)
    permits.request("b", 5, "large")
    permits.request("c", 1, "c1")
    permits.request("c", 1, "c2")
    permits.requestCapacity("d", 1, "k1")
    permits.requestCapacity("e", 0.5, "k2")
    expect(permits.cancel("b", "large")).toEqual({ limit: "total", admitted: ["c1", "c2"] })
    expect(permits.giveBack("c")).toEqual(["k1", "k2"])
  })

  test("a request that can never fit is refused at once", () => {
    const permits = makePermits(limits(10, 4, 10))
    expect(permits.request("a", 5, "a1")).toBe("user")
    expect(makePermits(limits(10, "dynamic", 10)).request("a", 11, "a1")).toBe("total")
  })
})

describe("a dynamic limit per user", () => {
  const makeShares = (total: number) => makePermits(limits(total, "dynamic", 0))
  /** What a user gets that takes one permit at a time. */
  const takeAll = (permits: ReturnType<typeof makeShares>, user: string) => {
    let count = 0
    while (permits.take(user, 1)) count += 1
    return count
  }

  test("one user alone gets a half, the next a half of the rest", () => {
    const permits = makeShares(100)
    expect(takeAll(permits, "a")).toBe(50)
    expect(takeAll(permits, "b")).toBe(25)
    expect(permits.canTake("c", 25)).toBe(true)
    expect(permits.canTake("c", 26)).toBe(false)
    expect(permits.size()).toEqual({ taken: 75, waiting: 0, users: 2 })
  })

  test("many users that want everything leave something for the next", () => {
    const permits = makeShares(512)
    for (let round = 0; round < 512; round += 1)
      for (let user = 0; user < 64; user += 1) permits.take(`${user}`, 1)
    expect(takeAll(permits, "late")).toBeGreaterThanOrEqual(4)
  })

  test("a single permit goes to the first user", () => {
    const permits = makeShares(1)
    expect(permits.take("a", 1)).toBe(true)
    expect(permits.take("b", 1)).toBe(false)
    permits.giveBack("a", 1)
    expect(permits.take("b", 1)).toBe(true)
  })

  test("no total: everyone takes any amount", () => {
    const permits = makeShares(none)
    for (let i = 0; i < 1000; i += 1) expect(permits.take("a", 1e9)).toBe(true)
  })

  test("a user over it waits until others give back, and delays nobody", () => {
    const permits = makePermits(limits(10, "dynamic", 5))
    expect(permits.take("a", 5)).toBe(true)
    expect(permits.request("a", 1, "a1")).toBe("queued")
    expect(permits.request("b", 2, "b1")).toBe("admitted")
    expect(permits.cancel("a", "a1").limit).toBe("user")
    expect(permits.request("a", 1, "a2")).toBe("queued")
    expect(permits.giveBack("b", 2)).toEqual([])
    expect(permits.giveBack("a", 1)).toEqual(["a2"])
  })
})

/** A turn, or bytes; it takes permits, or (`isProbe`) only waits for capacity. */
interface Request {
  readonly user: string
  readonly permits: number
  readonly isProbe: boolean
  state: "waits" | "holds" | "over"
  /** How often each other user started while this request was its user's first and its own limit allowed it. */
  readonly overtakenBy: Map<string, number>
}

const limit = (max: number) => fc.oneof(fc.integer({ min: 1, max }), fc.constant(none))
interface Step {
  readonly does: "request" | "probe" | "take" | "giveBack" | "cancel"
  readonly which: number
  readonly weight: number
}
const step = (maxWeight: number): fc.Arbitrary<Step> =>
  fc.record({
    does: fc.constantFrom("request", "request", "request", "probe", "take", "giveBack", "giveBack", "cancel"),
    which: fc.nat(20),
    weight: fc.integer({ min: 1, max: maxWeight }),
  })

/** Applies the steps, checks every promise after each of them, and ends with all permits given back. */
const walk = (given: FairLimits, steps: ReadonlyArray<Step>) => {
  const { total, perUser, queue } = given
  const requests: Array<Request> = []
  const having = (state: Request["state"], user?: string, isProbe = false) =>
    requests.filter(
      (request) =>
        request.state === state && request.isProbe === isProbe && (user ?? request.user) === request.user,
    )
  const probes = () => having("waits", undefined, true)
  const sum = (of: ReadonlyArray<Request>) => of.reduce((all, { permits }) => all + permits, 0)
  const free = () => total - sum(having("holds"))
  const isOverOwn = ({ user, permits }: Request) => {
    const own = sum(having("holds", user))
    return perUser === "dynamic" ? own > 0 && own + permits > free() : own + permits > perUser
  }
  const limitOf = (request: Request): Limit | undefined =>
    isOverOwn(request) ? "user" : request.permits > free() ? "total" : undefined

  /** The first of each user, where the user's own limit allows it. */
  const nextOfUsers = () =>
    [...new Set(having("waits").map(({ user }) => user))]
      .flatMap((user) => having("waits", user).slice(0, 1))
      .filter((first) => !isOverOwn(first))

  const started = (request: Request) => {
    // Once, in the order of arrival, and within both limits.
    expect(request.state).toBe("waits")
    expect(having("waits", request.user)[0] ?? request).toBe(request)
    expect(limitOf(request)).toBeUndefined()
    for (const user of new Set(having("waits").map((other) => other.user))) {
      const [first] = having("waits", user)
      if (user === request.user || first === undefined || isOverOwn(first)) continue
      const times = (first.overtakenBy.get(request.user) ?? 0) + 1
      expect(times).toBe(1)
      first.overtakenBy.set(request.user, times)
    }
    request.state = "holds"
  }
  const permits = makeFairPermits<Request>(given, (request) => {
    if (!request.isProbe) return started(request)
    expect(request.state).toBe("waits")
    expect(limitOf(request)).toBeUndefined()
    request.state = "over"
  })

  const check = () => {
    expect(free()).toBeGreaterThanOrEqual(0)
    expect(having("waits").length).toBeLessThanOrEqual(queue.total)
    expect(probes().length).toBeLessThanOrEqual(queue.total)
    for (const { user } of requests) {
      if (perUser !== "dynamic") expect(sum(having("holds", user))).toBeLessThanOrEqual(perUser)
      expect(having("waits", user).length).toBeLessThanOrEqual(queue.perUser)
    }
    // Nobody waits that could start: the first of some user may wait for a large amount, and all others for it.
    const eligible = nextOfUsers()
    if (eligible.length > 0) expect(eligible.some((first) => first.permits > free())).toBe(true)
    else
      expect(
        probes().filter((probe) => limitOf(probe) === undefined && having("waits", probe.user).length === 0),
      ).toEqual([])
    const known = requests.filter(({ state }) => state !== "over")
    expect(permits.size()).toEqual({
      taken: sum(having("holds")),
      waiting: having("waits").length + probes().length,
      users: new Set(known.map(({ user }) => user)).size,
    })
  }

  const ask = (user: string, weight: number, isProbe: boolean) => {
    const request: Request = { user, permits: weight, isProbe, state: "waits", overtakenBy: new Map() }
    const limitBefore = limitOf(request)
    const hadWaiting = having("waits").length > 0
    const waitingOfUser = having("waits", user, isProbe).length
    const outcome = permits[isProbe ? "requestCapacity" : "request"](user, weight, request)
    if (outcome === "user") {
      const neverFits = perUser !== "dynamic" && weight > perUser
      expect(limitBefore === "user" || hadWaiting || neverFits || waitingOfUser >= queue.perUser).toBe(true)
    }
    if (outcome === "total") expect(limitBefore === "total" || hadWaiting || weight > total).toBe(true)
    if (outcome === "user" || outcome === "total") return
    if (outcome === "admitted") {
      expect(limitBefore).toBeUndefined()
      if (isProbe) return
      started(request)
    }
    requests.push(request)
  }
  const take = (user: string, weight: number) => {
    const request: Request = { user, permits: weight, isProbe: false, state: "holds", overtakenBy: new Map() }
    const isAllowed =
      limitOf(request) === undefined && nextOfUsers().length === 0 && having("waits", user).length === 0
    expect(permits.canTake(user, weight)).toBe(isAllowed)
    expect(permits.take(user, weight)).toBe(isAllowed)
    if (isAllowed) requests.push(request)
  }
  const giveBack = (request: Request) => {
    request.state = "over"
    permits.giveBack(request.user, request.permits)
  }
  const cancel = (request: Request) => {
    const expected = limitOf(request)
    request.state = "over"
    const actual = permits.cancel(request.user, request)
    expect(actual).toBeDefined()
    if (expected !== undefined) expect(actual).toBe(expected)
    expect(permits.cancel(request.user, request)).toBeUndefined()
  }

  for (const { does, which, weight } of steps) {
    const user = `${which % 5}`
    if (does === "request" || does === "probe") ask(user, weight, does === "probe")
    else if (does === "take") take(user, weight)
    else {
      const those = does === "giveBack" ? having("holds") : [...having("waits"), ...probes()]
      const request = those[which % those.length]
      if (request !== undefined) (does === "giveBack" ? giveBack : cancel)(request)
    }
    check()
  }
  for (let [request] = having("holds"); request !== undefined; [request] = having("holds")) {
    giveBack(request)
    check()
  }
  // Nobody starves, and nothing is left.
  expect([...having("waits"), ...probes()]).toEqual([])
  expect(permits.size()).toEqual(empty)
}

test.each([
  ["of one permit", 5, limit(5), 1],
  ["of several permits", 20, limit(20), 4],
  ["of several permits, under the dynamic limit", 40, fc.constant("dynamic" as const), 4],
])("random walks keep every promise: requests %s", (_, maxTotal, perUser, maxWeight) => {
  fc.assert(
    fc.property(
      limit(maxTotal),
      perUser,
      fc.nat(6),
      limit(5),
      fc.array(step(maxWeight), { maxLength: 120 }),
      (total, perUser, queue, queuePerUser, steps) =>
        walk(limits(total, perUser, queue, queuePerUser), steps),
    ),
    { seed: SEED, numRuns: 400 },
  )
})
