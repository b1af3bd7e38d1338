import { expect, test } from "bun:test"
import { FastCheck as fc, Option } from "effect"
import { type Bounds, makeFairQueue } from "../../src/limits/fair-queue.ts"

/** The same draws in every run. */
const SEED = 21

const bounds = (all: number, perUser: number, waiting: number): Bounds => ({
  all,
  perUser,
  waiting,
  waitingPerUser: perUser,
})
const none = Number.POSITIVE_INFINITY

test("within a user the first to come is the first to begin; among users one after the other", () => {
  const queue = makeFairQueue<string>(bounds(1, 3, 10))
  expect(queue.arrive("greedy", "g1")).toBe("admitted")
  for (const waiter of ["g2", "g3", "g4"]) expect(queue.arrive("greedy", waiter)).toBe("waits")
  for (const waiter of ["a1", "a2"]) expect(queue.arrive("a", waiter)).toBe("waits")
  expect(queue.arrive("b", "b1")).toBe("waits")
  const served = ["greedy", "greedy", "a", "b", "greedy", "a", "greedy"].flatMap((user) => queue.finish(user))
  expect(served).toEqual(["g2", "a1", "b1", "g3", "a2", "g4"])
  expect(queue.size()).toEqual({ inHand: 0, waiting: 0, users: 0 })
})

test("who is at its own bound stands in nobody's way, and keeps its place", () => {
  const queue = makeFairQueue<string>(bounds(2, 1, 10))
  queue.arrive("a", "a1")
  expect(queue.arrive("a", "a2")).toBe("waits")
  expect(queue.arrive("b", "b1")).toBe("admitted")
  expect(queue.arrive("c", "c1")).toBe("waits")
  expect(queue.finish("b")).toEqual(["c1"])
  expect(queue.finish("a")).toEqual(["a2"])
})

test("who can't wait is told which bound it is", () => {
  const queue = makeFairQueue<string>(bounds(2, 1, 1))
  queue.arrive("a", "a1")
  expect(queue.arrive("a", "a2")).toBe("waits")
  expect(queue.arrive("a", "a3")).toBe("own")
  queue.arrive("b", "b1")
  expect(queue.arrive("c", "c1")).toBe("all")
  expect(queue.leave("a", "a2")).toEqual(Option.some("own"))
  expect(queue.leave("a", "a2")).toEqual(Option.none())
  expect(queue.arrive("c", "c1")).toBe("waits")
  expect(queue.leave("c", "c1")).toEqual(Option.some("all"))
})

test("without bounds everyone begins, and without a queue nobody waits", () => {
  const open = makeFairQueue<number>(bounds(none, none, 0))
  for (let turn = 0; turn < 1000; turn++) expect(open.arrive("a", turn)).toBe("admitted")
  const strict = makeFairQueue<number>(bounds(1, 5, 0))
  strict.arrive("a", 1)
  expect(strict.arrive("b", 2)).toBe("all")
  expect(makeFairQueue<number>(bounds(1, 1, 5)).finish("nobody")).toEqual([])
})

test("who knocks is let through by who has room, but behind all who arrived, and takes nothing", () => {
  const queue = makeFairQueue<string>(bounds(2, 2, 2))
  for (const waiter of ["k1", "k2", "k3"]) expect(queue.knock("a", waiter)).toBe("admitted")
  expect(queue.size()).toEqual({ inHand: 0, waiting: 0, users: 0 })
  for (const user of ["a", "b"]) queue.arrive(user, `${user}1`)
  expect(queue.knock("c", "k1")).toBe("waits")
  expect(queue.knock("d", "k2")).toBe("waits")
  // They keep nobody who arrived from waiting.
  expect(queue.knock("e", "k3")).toBe("all")
  expect(queue.arrive("c", "c1")).toBe("waits")
  expect(queue.finish("a")).toEqual(["c1"])
  expect(queue.finish("c")).toEqual(["k1", "k2"])
  expect(queue.leave("c", "k1")).toEqual(Option.none())
  expect(queue.arrive("c", "c1")).toBe("admitted")
  expect(queue.knock("d", "k2")).toBe("waits")
  expect(queue.leave("d", "k2")).toEqual(Option.some("all"))
  expect(queue.finish("b")).toEqual([])
})

test("who knocks while at its own bound waits for its own turns, and is told so", () => {
  const queue = makeFairQueue<string>(bounds(5, 1, 5))
  queue.arrive("a", "a1")
  queue.arrive("b", "b1")
  expect(queue.knock("a", "k1")).toBe("waits")
  expect(queue.knock("a", "k2")).toBe("own")
  expect(queue.finish("b")).toEqual([])
  expect(queue.finish("a")).toEqual(["k1"])
})

const bound = fc.oneof(fc.integer({ min: 1, max: 5 }), fc.constant(none))
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ does: fc.constant("arrive" as const), which: fc.nat(4) }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant("knock" as const), which: fc.nat(4) }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant("finish" as const), which: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant("leave" as const), which: fc.nat(20) }) },
)

interface Turn {
  readonly user: string
  readonly number: number
  state: "knocks" | "waits" | "inHand" | "over"
  /** How often each other user began while this turn waited as the first of its user and was kept by no bound of it. */
  readonly overtakenBy: Map<string, number>
}

test("whatever comes: no bound is passed, nobody waits in vain or is overtaken twice, nothing is left", () => {
  fc.assert(
    fc.property(
      bound,
      bound,
      fc.nat(6),
      bound,
      fc.array(step, { maxLength: 120 }),
      (all, perUser, waiting, waitingPerUser, steps) => {
        const queue = makeFairQueue<Turn>({ all, perUser, waiting, waitingPerUser })
        const turns: Array<Turn> = []
        const having = (state: Turn["state"], user?: string) =>
          turns.filter((turn) => turn.state === state && (user === undefined || turn.user === user))
        const isAtOwnBound = (user: string) => having("inHand", user).length >= perUser

        const begun = (turn: Turn) => {
          // Once only, and in the order of arrival.
          expect(turn.state).toBe("waits")
          expect(having("waits", turn.user)[0]).toBe(turn)
          for (const user of new Set(having("waits").map((other) => other.user))) {
            const [first] = having("waits", user)
            if (user === turn.user || first === undefined || isAtOwnBound(user)) continue
            const times = (first.overtakenBy.get(turn.user) ?? 0) + 1
            expect(times).toBe(1)
            first.overtakenBy.set(turn.user, times)
          }
          turn.state = "inHand"
        }
        const check = () => {
          expect(having("inHand").length).toBeLessThanOrEqual(all)
          expect(having("waits").length).toBeLessThanOrEqual(waiting)
          expect(having("knocks").length).toBeLessThanOrEqual(waiting)
          for (const { user } of turns) expect(having("inHand", user).length).toBeLessThanOrEqual(perUser)
          // Nobody waits who could begin.
          if (having("inHand").length < all) {
            const all = [...having("waits"), ...having("knocks")]
            expect(all.filter(({ user }) => !isAtOwnBound(user))).toEqual([])
          }
          const known = new Set(turns.filter(({ state }) => state !== "over").map(({ user }) => user))
          expect(queue.size()).toEqual({
            inHand: having("inHand").length,
            waiting: having("waits").length + having("knocks").length,
            users: known.size,
          })
        }
        const end = (turn: Turn) => {
          turn.state = "over"
          const next = queue.finish(turn.user)
          for (const each of next) {
            if (each.state === "waits") begun(each)
            else each.state = "over"
          }
          // One in its place, or as many as knocked.
          expect(next.filter(({ state }) => state === "inHand").length).toBeLessThanOrEqual(1)
          if (next.some(({ state }) => state === "inHand")) expect(next).toHaveLength(1)
        }
        const giveUp = (turn: Turn) => {
          expect(queue.leave(turn.user, turn)).toEqual(Option.some(isAtOwnBound(turn.user) ? "own" : "all"))
          turn.state = "over"
        }

        for (const { does, which } of steps) {
          if (does === "arrive" || does === "knock") {
            const turn: Turn = {
              user: `${which}`,
              number: turns.length,
              state: does === "arrive" ? "waits" : "knocks",
              overtakenBy: new Map(),
            }
            const arrival = queue[does](turn.user, turn)
            if (arrival === "own")
              expect(isAtOwnBound(turn.user) || waitingPerUser <= having(turn.state, turn.user).length).toBe(
                true,
              )
            if (arrival === "all") expect(having("inHand").length).toBe(all)
            if (arrival === "admitted") turn.state = does === "arrive" ? "inHand" : "over"
            if (arrival === "admitted" || arrival === "waits") turns.push(turn)
          } else {
            const those = does === "finish" ? having("inHand") : [...having("waits"), ...having("knocks")]
            const turn = those[which % those.length]
            if (turn !== undefined) (does === "finish" ? end : giveUp)(turn)
          }
          check()
        }
        for (let [turn] = having("inHand"); turn !== undefined; [turn] = having("inHand")) {
          end(turn)
          check()
        }
        expect(having("waits")).toEqual([])
        expect(queue.size()).toEqual({ inHand: 0, waiting: 0, users: 0 })
      },
    ),
    { seed: SEED, numRuns: 500 },
  )
})
