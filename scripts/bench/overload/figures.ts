import { isHeard, type Outcome } from "../client.ts"
import type { Probed } from "../probing.ts"
import { median, percentile } from "../statistics.ts"

/** What the service met with under one load. Times in ms. */
export interface Figures {
  /** What the load was, in words. */
  readonly load: string
  readonly asked: number
  readonly heard: number
  /** Why others were not, each with how many. */
  readonly failures: ReadonlyMap<string, number>
  /** Refusals that did not say when to try again, and turns that broke. */
  readonly improper: number
  readonly turnsPerSecond: number
  /** By the service's own clock, from the end of the upload: of the turns that it accepted. */
  readonly ownFirstAudio: { readonly p50: number; readonly p95: number }
  /** By the client's clock, the wait for a place included. */
  readonly firstByte: { readonly p50: number; readonly p95: number }
  /** Median; NaN where none was refused. */
  readonly refusedAfter: number
  readonly health: Probed
  readonly ready: Probed
  /** Of one core, 0 to 1 and over. */
  readonly ownCpu: number
  readonly peakMb: number
}

/** What was seen of the service from outside while it lasted. */
export interface Witnessed extends Pick<Figures, "load" | "health" | "ready" | "ownCpu" | "peakMb"> {
  readonly wallMs: number
}

/** The proper way to refuse: 503 or 429, and when to try again. */
const isProper = (failure: string, hasRetryAfter: boolean) => /^(503|429) /.test(failure) && hasRetryAfter

export const figuresOf = ({ wallMs, ...witnessed }: Witnessed, outcomes: ReadonlyArray<Outcome>): Figures => {
  const heard = outcomes.filter(isHeard)
  const failed = outcomes.flatMap((outcome) => (isHeard(outcome) ? [] : [outcome]))
  const failures = new Map<string, number>()
  for (const { failure } of failed) failures.set(failure, (failures.get(failure) ?? 0) + 1)
  const spread = (values: ReadonlyArray<number>) => ({
    p50: percentile(values, 0.5),
    p95: percentile(values, 0.95),
  })
  return {
    ...witnessed,
    asked: outcomes.length,
    heard: heard.length,
    failures,
    improper: failed.filter(({ failure, hasRetryAfter }) => !isProper(failure, hasRetryAfter)).length,
    turnsPerSecond: heard.length / (wallMs / 1000),
    ownFirstAudio: spread(heard.map(({ ownFirstAudioMs }) => ownFirstAudioMs)),
    firstByte: spread(heard.map(({ firstByteMs }) => firstByteMs)),
    refusedAfter: median(failed.map(({ failedMs }) => failedMs)),
  }
}
