import { Array as Arr, Option } from "effect"

/** Infinity where there is no bound. */
export interface Bounds {
  /** In hand at a time, of all users and of one. */
  readonly all: number
  readonly perUser: number
  /** Waiting at a time to begin, and as many to hear of room, of all users and of one. */
  readonly waiting: number
  readonly waitingPerUser: number
}

/** Which bound stands in the way: the user's own, or the one for all. */
export type Obstacle = "own" | "all"

/** What becomes of a turn, or other work, that arrives. */
export type Arrival = "admitted" | "waits" | Obstacle

/**
 * Who may begin a turn (or whatever else there are places for), and who is next: within a user in the order of arrival, among users in turn, so that one who
 * asks a hundred times stands in nobody's way. It knows no time and no fibre; a waiter is whatever the caller calls so.
 *
 * At all times nobody waits who could begin, so an arrival never overtakes one who waits.
 */
export interface FairQueue<Waiter> {
  readonly arrive: (user: string, waiter: Waiter) => Arrival
  /**
   * Asks whether there is room for a turn that will arrive later: admitted where there is. Nothing is kept for it, so it
   * stands in the way of nobody who arrives.
   */
  readonly knock: (user: string, waiter: Waiter) => Arrival
  /** Gives up waiting. None where it was admitted, or never waited: then it is not to be told that it was refused. */
  readonly leave: (user: string, waiter: Waiter) => Option.Option<Obstacle>
  /** A turn of the user is over; answers who goes on: one in its place, or else all who knocked and have room now. */
  readonly finish: (user: string) => ReadonlyArray<Waiter>
  /** How many turns are in hand, how many wait, and of how many users anything is known. */
  readonly size: () => { readonly inHand: number; readonly waiting: number; readonly users: number }
}

/** Who waits, by user. */
interface Lines<Waiter> {
  /** False where there is no room to wait. */
  readonly add: (user: string, waiter: Waiter) => boolean
  readonly remove: (user: string, waiter: Waiter) => boolean
  /** The first of the first user that may: all its others come behind all other users. */
  readonly next: (mayBegin: (user: string) => boolean) => Option.Option<{ user: string; waiter: Waiter }>
  readonly of: (user: string) => number
  readonly size: () => number
  readonly users: () => Iterable<string>
}

const makeLines = <Waiter>(most: number): Lines<Waiter> => {
  /** Who comes first is the next to be asked. */
  const lines = new Map<string, Array<Waiter>>()
  let size = 0

  /** Without the one at `index`; the user's place among users stays. */
  const removeAt = (user: string, line: Array<Waiter>, index: number) => {
    line.splice(index, 1)
    size -= 1
    if (line.length === 0) lines.delete(user)
  }

  return {
    add: (user, waiter) => {
      if (size >= most) return false
      const line = lines.get(user) ?? []
      line.push(waiter)
      lines.set(user, line)
      size += 1
      return true
    },
    remove: (user, waiter) => {
      const line = lines.get(user) ?? []
      const index = line.indexOf(waiter)
      if (index >= 0) removeAt(user, line, index)
      return index >= 0
    },
    next: (mayBegin) => {
      for (const [user, line] of lines) {
        const [waiter] = line
        if (waiter === undefined || !mayBegin(user)) continue
        removeAt(user, line, 0)
        if (lines.delete(user)) lines.set(user, line)
        return Option.some({ user, waiter })
      }
      return Option.none()
    },
    of: (user) => lines.get(user)?.length ?? 0,
    size: () => size,
    users: () => lines.keys(),
  }
}

export const makeFairQueue = <Waiter>(bounds: Bounds): FairQueue<Waiter> => {
  /** Users who have a turn in hand, and how many. */
  const inHand = new Map<string, number>()
  const arrived = makeLines<Waiter>(bounds.waiting)
  const knocking = makeLines<Waiter>(bounds.waiting)
  let all = 0

  const isAtOwnBound = (user: string) => (inHand.get(user) ?? 0) >= bounds.perUser
  const obstacle = (user: string): Option.Option<Obstacle> => {
    if (isAtOwnBound(user)) return Option.some("own")
    return all >= bounds.all ? Option.some("all") : Option.none()
  }
  const hasRoom = (user: string) => Option.isNone(obstacle(user))

  const begin = (user: string) => {
    inHand.set(user, (inHand.get(user) ?? 0) + 1)
    all += 1
  }

  const waits = (line: Lines<Waiter>, user: string, waiter: Waiter, hindered: Obstacle): Arrival => {
    if (line.of(user) >= bounds.waitingPerUser) return "own"
    return line.add(user, waiter) ? "waits" : hindered
  }

  return {
    arrive: (user, waiter) => {
      const hindered = obstacle(user)
      if (Option.isSome(hindered)) return waits(arrived, user, waiter, hindered.value)
      begin(user)
      return "admitted"
    },
    knock: (user, waiter) =>
      Option.match(obstacle(user), {
        onNone: () => "admitted",
        onSome: (hindered) => waits(knocking, user, waiter, hindered),
      }),
    leave: (user, waiter) => {
      if (!arrived.remove(user, waiter) && !knocking.remove(user, waiter)) return Option.none()
      // Whoever waits is hindered.
      return Option.orElseSome(obstacle(user), () => "all" as const)
    },
    finish: (user) => {
      const left = (inHand.get(user) ?? 0) - 1
      if (left < 0) return []
      if (left === 0) inHand.delete(user)
      else inHand.set(user, left)
      all -= 1
      const next = arrived.next(hasRoom)
      if (Option.isNone(next))
        return Arr.unfold(undefined, () =>
          Option.map(knocking.next(hasRoom), ({ waiter }) => [waiter, undefined]),
        )
      begin(next.value.user)
      return [next.value.waiter]
    },
    size: () => ({
      inHand: all,
      waiting: arrived.size() + knocking.size(),
      users: new Set([...inHand.keys(), ...arrived.users(), ...knocking.users()]).size,
    }),
  }
}
