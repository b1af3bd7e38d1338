import { Option } from "effect"

/** Infinity where there is no bound. */
export interface Bounds {
  /** In hand at a time, of all users and of one. */
  readonly all: number
  readonly perUser: number
  /** Waiting at a time, of all users; of one user as many may wait as may be in hand. */
  readonly waiting: number
}

/** Which bound stands in the way: the user's own, or the one for all. */
export type Obstacle = "own" | "all"

/** What becomes of a turn that arrives. */
export type Arrival = "admitted" | "waits" | Obstacle

/**
 * Who may begin a turn, and who is next: within a user in the order of arrival, among users in turn, so that one who
 * asks a hundred times stands in nobody's way. It knows no time and no fibre; a waiter is whatever the caller calls so.
 *
 * At all times nobody waits who could begin, so an arrival never overtakes one who waits.
 */
export interface FairQueue<Waiter> {
  readonly arrive: (user: string, waiter: Waiter) => Arrival
  /** Gives up waiting. None where it was admitted, or never waited: then it is not to be told that it was refused. */
  readonly leave: (user: string, waiter: Waiter) => Option.Option<Obstacle>
  /** A turn of the user is over; answers who is admitted in its place. */
  readonly finish: (user: string) => Option.Option<Waiter>
  /** How many turns are in hand, how many wait, and of how many users anything is known. */
  readonly size: () => { readonly inHand: number; readonly waiting: number; readonly users: number }
}

export const makeFairQueue = <Waiter>(bounds: Bounds): FairQueue<Waiter> => {
  /** Users who have a turn in hand, and how many. */
  const inHand = new Map<string, number>()
  /** Users who have someone waiting: who comes first is the next to be asked. */
  const lines = new Map<string, Array<Waiter>>()
  let all = 0
  let waiting = 0

  const isAtOwnBound = (user: string) => (inHand.get(user) ?? 0) >= bounds.perUser
  const obstacle = (user: string): Option.Option<Obstacle> => {
    if (isAtOwnBound(user)) return Option.some("own")
    return all >= bounds.all ? Option.some("all") : Option.none()
  }

  const begin = (user: string) => {
    inHand.set(user, (inHand.get(user) ?? 0) + 1)
    all += 1
  }

  /** Without the one at `index`; the user's place among users stays. */
  const remove = (user: string, line: Array<Waiter>, index: number) => {
    line.splice(index, 1)
    waiting -= 1
    if (line.length === 0) lines.delete(user)
  }

  const next = (): Option.Option<Waiter> => {
    if (all >= bounds.all) return Option.none()
    for (const [user, line] of lines) {
      const [first] = line
      if (first === undefined || isAtOwnBound(user)) continue
      remove(user, line, 0)
      // Behind all others.
      if (lines.delete(user)) lines.set(user, line)
      begin(user)
      return Option.some(first)
    }
    return Option.none()
  }

  return {
    arrive: (user, waiter) => {
      const hindered = obstacle(user)
      if (Option.isNone(hindered)) {
        begin(user)
        return "admitted"
      }
      const line = lines.get(user) ?? []
      if (line.length >= bounds.perUser) return "own"
      if (waiting >= bounds.waiting) return hindered.value
      line.push(waiter)
      lines.set(user, line)
      waiting += 1
      return "waits"
    },
    leave: (user, waiter) => {
      const line = lines.get(user) ?? []
      const index = line.indexOf(waiter)
      if (index < 0) return Option.none()
      remove(user, line, index)
      // Whoever waits is hindered.
      return Option.orElseSome(obstacle(user), () => "all" as const)
    },
    finish: (user) => {
      const left = (inHand.get(user) ?? 0) - 1
      if (left < 0) return Option.none()
      if (left === 0) inHand.delete(user)
      else inHand.set(user, left)
      all -= 1
      return next()
    },
    size: () => ({ inHand: all, waiting, users: new Set([...inHand.keys(), ...lines.keys()]).size }),
  }
}
