import { isHeard, type Outcome } from "./client.ts"
import type { Cost } from "./cost.ts"
import type { Taken } from "./load.ts"
import { percentile } from "./statistics.ts"

/** The load of a row. */
export interface Load {
  /** Whether the upstream has the latency of hosted models, or none. */
  readonly upstream: "paced" | "at once"
  readonly recording: "WAV" | "WebM"
  readonly clients: number
  /** All clients send at the same instant. */
  readonly together: boolean
}

/** The shortest possible times to the first byte with this upstream, in ms. */
export interface Floors {
  readonly pipelinedMs: number
  readonly sequentialMs: number
}

interface Spread {
  readonly p50: number
  readonly p95: number
}

/** The figures of a row. CPU in ms per turn. */
export interface Figures extends Load {
  readonly floors: Floors
  /** The number of turns behind the percentiles. */
  readonly turns: number
  /** Reasons of failed turns with their counts, including turns outside the measured time. */
  readonly failures: ReadonlyMap<string, number>
  readonly firstByteMs: Spread
  readonly lastByteMs: Spread
  /** Turns whose player ran out of audio before the end. */
  readonly turnsWithGap: number
  readonly longestGapMs: number
  readonly turnsPerSecond: number
  readonly ownCpuMs: number
  readonly ffmpegCpuMs: number
  /** CPU of the scripted upstream and the clients. */
  readonly benchCpuMs: number
  /** Resident memory after the last turn. */
  readonly residentMb: number
}

/** The number of failed turns of a row. */
export const failedTurns = ({ failures }: Pick<Figures, "failures">): number =>
  [...failures.values()].reduce((sum, count) => sum + count, 0)

/** CPU and memory at one moment. */
export interface Meter {
  readonly service: Cost
  readonly benchMs: number
}

/** Shorter gaps, in ms, are within the error of the measurement. */
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
