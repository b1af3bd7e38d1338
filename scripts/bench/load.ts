/** The turns of a load. Those with the full load on them are measured. */
export interface Taken<A> {
  readonly counted: ReadonlyArray<A>
  /** Turns that began outside the measured time. */
  readonly others: ReadonlyArray<A>
  readonly wallMs: number
}

export interface Steady {
  readonly clients: number
  /**
   * The ms over which the clients start, each at a random moment. People do not speak in step, but clients that start
   * together stay in step with an upstream of constant latency.
   */
  readonly spreadMs: number
  /** Turns are measured from the start of the last client until both minimums are reached. */
  readonly least: { readonly turns: number; readonly ms: number }
}

/**
 * Runs `clients`, each of which starts its next turn when its last one has ended. All turns that begin within the
 * measured time count, and the load lasts until the last of them has ended.
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

/** The worst case of `clients`: all send at the same instant, and again after the last response. */
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

/** Visits that arrive at a constant rate, whether or not earlier ones have ended. */
export interface Arrivals {
  readonly perSecond: number
  /** The limit of concurrent visits. Beyond it the next visit is late, and the load is what the machine carries. */
  readonly mostAtATime: number
}

/** Starts visits until `isOver`, which gets their number. Resolves when all have ended. */
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
