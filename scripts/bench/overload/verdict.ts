import { type Verdict, verdictOf } from "../budgets.ts"
import type { Figures } from "./figures.ts"

/** The loads of one run. */
export interface Loads {
  /** A few clients: the service's normal pace. */
  readonly calm: Figures
  /** MAX_TURNS clients. */
  readonly full: Figures
  /** New turns at a multiple of the rate of `full`. */
  readonly over: Figures
  readonly afterwards: Figures
}

/** How much slower an accepted turn may be: the budget for 32 clients. */
const mostPace = 1.15
/** The longest response time of a health check, in ms. */
const mostProbeMs = 50
/**
 * How much more memory than at full load is allowed, for waiting and refused turns. A peak depends on the garbage
 * collector: in the soak of 10,000 turns, at a constant load, it was a third above the median.
 */
const mostMemory = 1.5

const ms = (value: number) => `${value.toFixed(0)} ms`

/** NaN, a missing figure, meets no limit. */
const atMost = (budget: string, value: number, bound: number, show: (value: number) => string): Verdict => ({
  budget,
  limit: `at most ${show(bound)}`,
  figure: show(value),
  verdict: verdictOf(value <= bound),
})

const none = (budget: string, value: number): Verdict => ({
  budget,
  limit: "none",
  figure: `${value}`,
  verdict: verdictOf(value === 0),
})

export const verdictsOf = ({ calm, full, over, afterwards }: Loads): ReadonlyArray<Verdict> => {
  const pace = (when: string, { ownFirstAudio }: Figures) =>
    (["p50", "p95"] as const).map((p) =>
      atMost(
        `First audio of accepted turns ${when}, ${p}`,
        ownFirstAudio[p],
        calm.ownFirstAudio[p] * mostPace,
        ms,
      ),
    )
  return [
    ...pace("under overload", over),
    ...pace("afterwards", afterwards),
    atMost("/health under overload, p99", over.health.p99, mostProbeMs, ms),
    atMost("/ready under overload, p99", over.ready.p99, mostProbeMs, ms),
    none("/health and /ready that were not 200", over.health.refused + over.ready.refused),
    none("Turns that broke, or were refused without 503 or 429 and Retry-After", over.improper),
    none("Turns that failed with a load that it carries", calm.asked + full.asked - calm.heard - full.heard),
    atMost(
      "Peak of resident memory under overload",
      over.peakMb,
      full.peakMb * mostMemory,
      (mb) => `${mb.toFixed(0)} MB`,
    ),
  ]
}
