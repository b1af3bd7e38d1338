/** Turns of which some count: those with the load on them that is to be measured. */
export interface Taken<A> {
  readonly counted: ReadonlyArray<A>
  /** Those that began before or after the measured time. */
  readonly others: ReadonlyArray<A>
  readonly wallMs: number
}

export interface Steady {
  readonly clients: number
  /**
   * Over how many ms the clients begin, each at a moment of its own: people do not speak in step, but clients that
   * begin together stay so with an upstream that always takes as long.
   */
  readonly spreadMs: number
  /** Turns are counted from when all clients have begun, until there are so many and so much time has passed. */
  readonly least: { readonly turns: number; readonly ms: number }
}

/**
 * So many clients, each taking its next turn when its last has ended. All turns that begin within the measured time
 * count, and the load lasts until the last of those has ended.
 */
export const takeSteadily = async <A>(
  { clients, spreadMs, least }: Steady,
  turn: () => Promise<A>,
): Promise<Taken<A>> => {
  const counted: Array<A> = []
  const others: Array<A> = []
  const begun = performance.now()
  const from = begun + spreadMs
  let begunInTime = 0
  const isOpen = (now: number) => begunInTime < least.turns || now < from + least.ms
  const isOver = () => !isOpen(performance.now()) && counted.length === begunInTime
  const client = async () => {
    await Bun.sleep(clients === 1 ? 0 : Math.random() * spreadMs)
    while (!isOver()) {
      const now = performance.now()
      const counts = now >= from && isOpen(now)
      if (counts) begunInTime += 1
      const taken = await turn()
      const list = counts ? counted : others
      list.push(taken)
    }
  }
  await Promise.all(Array.from({ length: clients }, client))
  return { counted, others, wallMs: performance.now() - begun }
}

/** The worst that so many clients can do: all speak in the same instant, and again when the last has been answered. */
export const takeTogether = async <A>(
  clients: number,
  rounds: number,
  turn: () => Promise<A>,
): Promise<Taken<A>> => {
  const counted: Array<A> = []
  const begun = performance.now()
  for (let round = 0; round < rounds; round += 1) {
    counted.push(...(await Promise.all(Array.from({ length: clients }, turn))))
  }
  return { counted, others: [], wallMs: performance.now() - begun }
}

/** Visits that come at a steady rate, whether or not those before are over. */
export interface Arrivals {
  readonly perSecond: number
  /** So many at a time at most: past these the next one is late, and the load is what the machine carries. */
  readonly mostAtATime: number
}

/** Begins visits until `isOver`, asked with how many have begun; resolves once all have ended. */
export const arrive = async (
  { perSecond, mostAtATime }: Arrivals,
  visit: () => Promise<void>,
  isOver: (begun: number) => boolean,
): Promise<void> => {
  const inHand = new Set<Promise<void>>()
  const started = performance.now()
  for (let begun = 0; !isOver(begun); begun += 1) {
    await Bun.sleep(Math.max(0, started + (begun * 1000) / perSecond - performance.now()))
    if (inHand.size >= mostAtATime) await Promise.race(inHand)
    const one: Promise<void> = visit().finally(() => inHand.delete(one))
    inHand.add(one)
  }
  await Promise.all(inHand)
}
