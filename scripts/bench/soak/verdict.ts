import type { Verdict } from "../budgets.ts"
import { median } from "../statistics.ts"
import type { Sample } from "./sample.ts"

/** All that a run has seen. */
export interface Seen {
  /** At rest, before the load and after it. */
  readonly before: Sample
  readonly after: Sample
  /** Each second of the load. */
  readonly during: ReadonlyArray<Sample>
  /** Of the load, with those that ended otherwise than whole. */
  readonly turns: number
  /** What clients met that must not be, and what is wrong with what is stored. */
  readonly wrong: ReadonlyArray<string>
  readonly inconsistencies: ReadonlyArray<string>
  /** What the `request.defect` events in the service's log say, each once. */
  readonly defects: ReadonlyArray<string>
}

/** The samples of the load from the one share (0 to 1) of its time to the other. */
export const windowOf = <A>(samples: ReadonlyArray<A>, from: number, to: number): ReadonlyArray<A> =>
  samples.slice(Math.floor(samples.length * from), Math.floor(samples.length * to))

/** The windows that are compared: the first tenth is left for what is compiled and opened. */
export const early = [0.1, 0.2] as const
export const late = [0.9, 1] as const

/** How much more memory is still flat. */
const mostGrowth = 0.1

/**
 * How much more may be held at rest than when everything was done once: the runtime compiles what is hot, and keeps it.
 * That was 10 % after 1,500 turns and 17 % after 10,000; what each turn leaves behind would have been seven times as much.
 */
const mostHeld = 0.25

/** At most so many wait for the next recording: FFMPEG_WARM. */
const warmFfmpegs = 2

const medianOf = (samples: ReadonlyArray<Sample>, [from, to]: readonly [number, number], of: keyof Sample) =>
  median(windowOf(samples, from, to).map((sample) => sample[of]))

/** Met where it holds; a figure that is none (NaN) holds nothing. */
const verdict = (budget: string, limit: string, figure: string, holds: boolean): Verdict => ({
  budget,
  limit,
  figure,
  verdict: holds ? "met" : "not met",
})

const growth = (what: string, before: number, after: number, most: number) =>
  verdict(
    what,
    `at most ${most * 100} % more`,
    `${before.toFixed(0)} MB, then ${after.toFixed(0)} MB (${((after / before - 1) * 100).toFixed(1)} %)`,
    after <= before * (1 + most),
  )

const none = (what: string, count: number) => verdict(what, "none", `${count}`, count === 0)

/** What is counted at rest, and has to be the same before and after. */
export const counted: ReadonlyArray<readonly [name: keyof Sample, what: string]> = [
  ["files", "Open files"],
  ["otherChildren", "Child processes but ffmpeg"],
  ["clients", "Connections of clients"],
  ["upstream", "Connections to the provider"],
  ["database", "Connections to the database"],
  ["tempFiles", "Temporary files"],
  ["fibres", "Fibres"],
  ["turns", "Turns in hand"],
]

const isBack = (before: number, after: number) => after <= before

export const verdictsOf = (seen: Seen): ReadonlyArray<Verdict> => {
  const { before, after, during, wrong } = seen
  const isSilent = (what: string) => what.includes("no answer")
  return [
    growth(
      "Resident memory under load, median of the second tenth and of the last",
      medianOf(during, early, "residentMb"),
      medianOf(during, late, "residentMb"),
      mostGrowth,
    ),
    growth(
      "Heap and what it holds outside of itself at rest, before and after",
      before.heapMb + before.externalMb,
      after.heapMb + after.externalMb,
      mostHeld,
    ),
    ...counted.map(([name, what]) =>
      verdict(
        `${what}, at rest`,
        `${before[name]} as before`,
        `${after[name]}`,
        isBack(before[name], after[name]),
      ),
    ),
    verdict(
      "ffmpegs, at rest",
      `at most ${warmFfmpegs}, which wait for the next recording`,
      `${after.ffmpegs}`,
      after.ffmpegs <= warmFfmpegs,
    ),
    none("Requests without an answer", wrong.filter(isSilent).length),
    none("Answers that nothing provoked", wrong.filter((what) => !isSilent(what)).length),
    none("Defects in the log", seen.defects.length),
    none("Turns and messages stored wrong", seen.inconsistencies.length),
    // One that took none would be good in all else.
    verdict("Turns taken", "at least one", `${seen.turns}`, seen.turns > 0),
  ]
}

export const isGood = (verdicts: ReadonlyArray<Verdict>): boolean =>
  verdicts.every(({ verdict }) => verdict === "met")
