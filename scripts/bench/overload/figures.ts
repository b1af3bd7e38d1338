import { isHeard, type Outcome } from "../client.ts"
import type { Probed } from "../probing.ts"
import { median, percentile } from "../statistics.ts"

/** The figures of one load. Times in ms. */
export interface Figures {
  /** A description of the load. */
  readonly load: string
  readonly asked: number
  readonly heard: number
  /** The reasons of failed turns, with their counts. */
  readonly failures: ReadonlyMap<string, number>
  /** Refusals without Retry-After, and turns that broke off. */
  readonly improper: number
  readonly turnsPerSecond: number
  /** Of accepted turns, from the end of the upload, measured by the service. */
  readonly ownFirstAudio: { readonly p50: number; readonly p95: number }
  /** Measured by the client, including the wait for a slot. */
  readonly firstByte: { readonly p50: number; readonly p95: number }
  /** Median; NaN if no turn was refused. */
  readonly refusedAfter: number
  readonly health: Probed
  readonly ready: Probed
  /** In cores: 1 is one core fully used. */
  readonly ownCpu: number
  readonly peakMb: number
}

/** What was observed from outside the service. */
export interface Witnessed extends Pick<Figures, "load" | "health" | "ready" | "ownCpu" | "peakMb"> {
  readonly wallMs: number
}

/** A correct refusal: 503 or 429, with Retry-After. */
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
