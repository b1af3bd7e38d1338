/** The limit that a request for permits ran into: the user's own, or the one that all users share. */
export type Limit = "user" | "total"

/** Infinity in any of these: no limit. */
export interface FairLimits {
  /** Permits of all users together. */
  readonly total: number
  /**
   * Permits of one user. "dynamic": nobody may hold more than what is free. One user alone gets a half, two that want
   * everything a third each, and so on: something is always left for the next user, and no fixed number is too low for
   * the only user or too high for a hundred. (The dynamic threshold by which switches share the memory of their ports:
   * Choudhury and Hahne, 1998, with alpha = 1.)
   */
  readonly perUser: number | "dynamic"
  /** Requests that wait for permits, and as many again that wait for capacity only. */
  readonly queue: { readonly total: number; readonly perUser: number }
}

/**
 * Who holds permits, and who is next: first in, first out within a user, and round-robin between users, so that a user
 * with a hundred requests delays nobody else. It has no clock and no fibers; `onAdmitted` is called once for every
 * waiter that waits no more, after the change is complete.
 *
 * A request starts as soon as it can and never overtakes a waiting one, unless that one waits for its own user's limit.
 */
export interface FairPermits<Waiter> {
  /** Whether `take` would succeed. Reserves nothing. */
  readonly canTake: (user: string, permits: number) => boolean
  /** Takes the permits now, or none. */
  readonly take: (user: string, permits: number) => boolean
  /** Takes the permits now, or adds the waiter to the queue, or refuses. */
  readonly request: (user: string, permits: number, waiter: Waiter) => "admitted" | "queued" | Limit
  /** Like `request`, but takes nothing: the waiter is admitted when `take` would succeed. It delays no request. */
  readonly requestCapacity: FairPermits<Waiter>["request"]
  /** Removes the waiter and returns the limit that it waited for; undefined if it is not in the queue. */
  readonly cancel: (user: string, waiter: Waiter) => Limit | undefined
  readonly giveBack: (user: string, permits: number) => void
  /** Permits taken, requests waiting, and users with either. */
  readonly size: () => { readonly taken: number; readonly waiting: number; readonly users: number }
}

interface Waiting<Waiter> {
  readonly waiter: Waiter
  readonly permits: number
}

/** A bounded queue per user. The users are in the order in which their first waiters are examined. */
const makeQueues = <Waiter>(bounds: FairLimits["queue"]) => {
  const queues = new Map<string, Array<Waiting<Waiter>>>()
  let size = 0

  const removeAt = (user: string, queue: Array<Waiting<Waiter>>, index: number) => {
    const [removed] = queue.splice(index, 1)
    size -= 1
    if (queue.length === 0) queues.delete(user)
    return removed
  }

  return {
    /** The limit in the way, or undefined if the waiter was added. */
    add: (user: string, waiting: Waiting<Waiter>, limit: Limit): Limit | undefined => {
      const queue = queues.get(user) ?? []
      if (queue.length >= bounds.perUser) return "user"
      if (size >= bounds.total) return limit
      queue.push(waiting)
      queues.set(user, queue)
      size += 1
      return undefined
    },
    remove: (user: string, waiter: Waiter) => {
      const queue = queues.get(user) ?? []
      const index = queue.findIndex((waiting) => waiting.waiter === waiter)
      return index < 0 ? undefined : removeAt(user, queue, index)
    },
    /** The first waiter of each user. */
    *heads() {
      for (const [user, [head]] of queues) if (head !== undefined) yield { user, ...head }
    },
    /** Removes the user's first waiter; the user's other waiters come after all other users'. */
    removeHead: (user: string) => {
      const queue = queues.get(user) ?? []
      removeAt(user, queue, 0)
      if (queues.delete(user)) queues.set(user, queue)
    },
    has: (user: string) => queues.has(user),
    users: () => queues.keys(),
    size: () => size,
  }
}

export const makeFairPermits = <Waiter>(
  { total, perUser, queue }: FairLimits,
  onAdmitted: (waiter: Waiter) => void,
): FairPermits<Waiter> => {
  const held = new Map<string, number>()
  const requests = makeQueues<Waiter>(queue)
  const capacityRequests = makeQueues<Waiter>(queue)
  let taken = 0

  /** The limit that the holders of permits leave no room under. */
  const limitFor = (user: string, permits: number): Limit | undefined => {
    const own = held.get(user) ?? 0
    const free = total - taken
    const isOverOwn = perUser === "dynamic" ? own > 0 && own + permits > free : own + permits > perUser
    if (isOverOwn) return "user"
    return permits > free ? "total" : undefined
  }

  /** The waiter that is next. If it has to wait for permits of others, nobody may overtake it. */
  const next = () => {
    if (requests.size() === 0) return undefined
    for (const head of requests.heads()) {
      const limit = limitFor(head.user, head.permits)
      if (limit !== "user") return { ...head, limit }
    }
    return undefined
  }

  /** The limit in the way of a new request, which may not overtake one that waits. */
  const limitForNew = (user: string, permits: number): Limit | undefined => {
    const limit = limitFor(user, permits)
    if (limit !== undefined || requests.size() === 0) return limit
    if (requests.has(user)) return "user"
    return next() === undefined ? undefined : "total"
  }

  const grant = (user: string, permits: number) => {
    held.set(user, (held.get(user) ?? 0) + permits)
    taken += permits
  }

  /** Admits everyone who can start. */
  const admitWaiters = () => {
    if (requests.size() + capacityRequests.size() === 0) return
    const admitted: Array<Waiter> = []
    for (let head = next(); head !== undefined && head.limit === undefined; head = next()) {
      requests.removeHead(head.user)
      grant(head.user, head.permits)
      admitted.push(head.waiter)
    }
    const withCapacity = () =>
      capacityRequests.heads().find((head) => limitForNew(head.user, head.permits) === undefined)
    for (let head = withCapacity(); head !== undefined; head = withCapacity()) {
      capacityRequests.removeHead(head.user)
      admitted.push(head.waiter)
    }
    for (const waiter of admitted) onAdmitted(waiter)
  }

  const canTake = (user: string, permits: number) => limitForNew(user, permits) === undefined

  const take = (user: string, permits: number) => {
    if (!canTake(user, permits)) return false
    grant(user, permits)
    return true
  }

  const enqueue = (queues: typeof requests, user: string, waiting: Waiting<Waiter>) => {
    const limit = limitForNew(user, waiting.permits)
    if (limit === undefined) return "admitted"
    // These would wait forever.
    if (perUser !== "dynamic" && waiting.permits > perUser) return "user"
    if (waiting.permits > total) return "total"
    return queues.add(user, waiting, limit) ?? "queued"
  }

  return {
    canTake,
    take,
    request: (user, permits, waiter) => {
      const outcome = enqueue(requests, user, { waiter, permits })
      if (outcome === "admitted") grant(user, permits)
      return outcome
    },
    requestCapacity: (user, permits, waiter) => enqueue(capacityRequests, user, { waiter, permits }),
    cancel: (user, waiter) => {
      const waiting = requests.remove(user, waiter) ?? capacityRequests.remove(user, waiter)
      if (waiting === undefined) return undefined
      const limit = limitForNew(user, waiting.permits) ?? "total"
      // A large request may have kept smaller ones waiting.
      admitWaiters()
      return limit
    },
    giveBack: (user, permits) => {
      const left = (held.get(user) ?? 0) - permits
      if (left > 0) held.set(user, left)
      else held.delete(user)
      taken -= permits
      admitWaiters()
    },
    size: () => ({
      taken,
      waiting: requests.size() + capacityRequests.size(),
      users: new Set([...held.keys(), ...requests.users(), ...capacityRequests.users()]).size,
    }),
  }
}
