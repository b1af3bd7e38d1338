import { isHeard, type Outcome } from "./client.ts"
import type { Cost } from "./cost.ts"
import type { Taken } from "./load.ts"
import { percentile } from "./statistics.ts"

/** What the service was put to. */
export interface Load {
  /** Whether the upstream takes the time of hosted models, or none. */
  readonly upstream: "paced" | "at once"
  readonly recording: "WAV" | "WebM"
  readonly clients: number
  /** All clients speak in the same instant. */
  readonly together: boolean
}

/** The upstream's own limits, in ms to the first byte. */
export interface Floors {
  readonly pipelinedMs: number
  readonly sequentialMs: number
}

interface Spread {
  readonly p50: number
  readonly p95: number
}

/** What came of it. CPU in ms per turn. */
export interface Figures extends Load {
  readonly floors: Floors
  /** How many turns the percentiles are of. */
  readonly turns: number
  /** Why turns failed, each with how many did: of all, those before and after the measured time too. */
  readonly failures: ReadonlyMap<string, number>
  readonly firstByteMs: Spread
  readonly lastByteMs: Spread
  /** Turns whose player fell silent within the reply. */
  readonly turnsWithGap: number
  readonly longestGapMs: number
  readonly turnsPerSecond: number
  readonly ownCpuMs: number
  readonly ffmpegCpuMs: number
  /** The scripted upstream and the clients. */
  readonly benchCpuMs: number
  /** After the last turn. */
  readonly residentMb: number
}

/** How many turns of a row failed. */
export const failedTurns = ({ failures }: Pick<Figures, "failures">): number =>
  [...failures.values()].reduce((sum, count) => sum + count, 0)

/** What all has cost at one moment. */
export interface Meter {
  readonly service: Cost
  readonly benchMs: number
}

/** A silence shorter than this, in ms, is the clock's, not the service's: nobody hears it. */
const leastGapMs = 1

const spreadOf = (values: ReadonlyArray<number>): Spread => ({
  p50: percentile(values, 0.5),
  p95: percentile(values, 0.95),
})

export const figuresOf = (
  load: Load,
  floors: Floors,
  { counted, others, wallMs }: Taken<Outcome>,
  before: Meter,
  after: Meter,
): Figures => {
  const turns = counted.length + others.length
  const heard = counted.filter(isHeard)
  const failures = new Map<string, number>()
  for (const outcome of [...counted, ...others]) {
    if (!isHeard(outcome)) failures.set(outcome.failure, (failures.get(outcome.failure) ?? 0) + 1)
  }
  const gaps = heard.map(({ gapMs }) => gapMs).filter((gapMs) => gapMs >= leastGapMs)
  return {
    ...load,
    floors,
    turns: heard.length,
    failures,
    firstByteMs: spreadOf(heard.map(({ firstByteMs }) => firstByteMs)),
    lastByteMs: spreadOf(heard.map(({ lastByteMs }) => lastByteMs)),
    turnsWithGap: gaps.length,
    longestGapMs: Math.max(0, ...gaps),
    turnsPerSecond: turns / (wallMs / 1000),
    ownCpuMs: (after.service.ownMs - before.service.ownMs) / turns,
    ffmpegCpuMs: (after.service.childrenMs - before.service.childrenMs) / turns,
    benchCpuMs: (after.benchMs - before.benchMs) / turns,
    residentMb: after.service.residentMb,
  }
}
