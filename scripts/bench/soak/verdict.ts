import { type Verdict, verdictOf } from "../budgets.ts"
import { median } from "../statistics.ts"
import { type Compared, keptObjects } from "./objects.ts"
import type { Sample } from "./sample.ts"
import { slopeOf } from "./slope.ts"

/** A sample under load. */
export interface LoadSample extends Sample {
  /** Turns of the load until then. */
  readonly taken: number
}

/** The observations of a run. */
export interface Seen {
  /** At rest, before the load and after it. */
  readonly before: Sample
  readonly after: Sample
  /** At rest, without garbage. */
  readonly objects: Compared
  /** One sample a second during the load. */
  readonly during: ReadonlyArray<LoadSample>
  /** Turns during the load, including those that failed. */
  readonly turns: number
  /** Unexpected responses, and inconsistencies in the stored data. */
  readonly wrong: ReadonlyArray<string>
  readonly inconsistencies: ReadonlyArray<string>
  /** The distinct `request.defect` events of the service's log. */
  readonly defects: ReadonlyArray<string>
}

/** The samples between two shares (0 to 1) of the load's time. */
export const windowOf = <A>(samples: ReadonlyArray<A>, from: number, to: number): ReadonlyArray<A> =>
  samples.slice(Math.floor(samples.length * from), Math.floor(samples.length * to))

/** The windows that are compared. The first tenth is warm-up. */
export const early = [0.1, 0.2] as const
export const late = [0.9, 1] as const

/** Growth of memory under load that still counts as flat. */
const mostGrowth = 0.1

/** In MB, growth of the heap and of external memory at rest without garbage. Compiled code is 22 MB after 1,500 turns. */
const mostHeldMb = 40

/** Objects that may be left, at first and by turn: caches fill. Whatever a turn leaves has dozens of objects. */
const [mostObjects, mostObjectsPerTurn] = [500, 0.05]

/** Until so many turns are taken the runtime compiles, and pools grow. */
const warmUpTurns = 10_000

/** In bytes: whatever is left of a turn, such as its id in a map, is larger. */
const leastPerTurn = 100

/** With so many errors of its own a slope is more than noise. */
const certain = 3

const heldMb = ({ heapMb, externalMb }: Sample): number => heapMb + externalMb

/** What must not grow with the number of turns, in MB. */
const sizes: ReadonlyArray<readonly [what: string, of: (sample: Sample) => number]> = [
  ["Resident memory", ({ residentMb }) => residentMb],
  ["Heap and external memory", heldMb],
  ["Memory of child processes", ({ childrenMb }) => childrenMb],
]

/** Growth by turns after the warm-up. A shorter run has no such rows. */
const slopes = (during: ReadonlyArray<LoadSample>): ReadonlyArray<Verdict> => {
  const warm = during.filter(({ taken }) => taken >= warmUpTurns)
  return sizes.flatMap(([what, of]) => {
    const slope = slopeOf(warm.map((sample) => ({ taken: sample.taken, value: of(sample) })))
    if (slope === undefined) return []
    const [perTurn, error] = [slope.perTurn, slope.error].map((mb) => mb * 1024 * 1024)
    if (perTurn === undefined || error === undefined) return []
    return verdict(
      `${what}, growth after ${warmUpTurns} turns`,
      `at most ${leastPerTurn} bytes a turn, or ${certain} of its errors`,
      `${perTurn.toFixed(0)} ± ${error.toFixed(0)} bytes a turn`,
      perTurn <= Math.max(leastPerTurn, certain * error),
    )
  })
}

/** FFMPEG_WARM: ffmpeg processes that wait for the next recording. */
const warmFfmpegs = 2

const medianOf = (samples: ReadonlyArray<Sample>, [from, to]: readonly [number, number], of: keyof Sample) =>
  median(windowOf(samples, from, to).map((sample) => sample[of]))

/** A comparison with NaN is false, so a missing figure is not met. */
const verdict = (budget: string, limit: string, figure: string, holds: boolean): Verdict => ({
  budget,
  limit,
  figure,
  verdict: verdictOf(holds),
})

const growth = (what: string, before: number, after: number, most: number) =>
  verdict(
    what,
    `at most ${most * 100} % more`,
    `${before.toFixed(0)} MB, then ${after.toFixed(0)} MB (${((after / before - 1) * 100).toFixed(1)} %)`,
    after <= before * (1 + most),
  )

const none = (what: string, count: number) => verdict(what, "none", `${count}`, count === 0)

/** The counts at rest, which must be the same before and after. */
export const counted: ReadonlyArray<readonly [name: keyof Sample, what: string]> = [
  ["files", "Open files"],
  ["otherChildren", "Child processes other than ffmpeg"],
  ["clients", "Connections of clients"],
  ["upstream", "Connections to the provider"],
  ["tools", "Connections to tools"],
  ["database", "Connections to the database"],
  ["tempFiles", "Temporary files"],
  ["fibers", "Fibers"],
  ["turns", "Running turns"],
]

/** The last of some samples at rest, with the least of each count. */
export const lowest = (samples: ReadonlyArray<Sample>): Sample => {
  const last = samples.at(-1)
  if (last === undefined) throw new Error("There are no samples.")
  const least = counted.map(([name]) => [name, Math.min(...samples.map((sample) => sample[name]))])
  return { ...last, ...Object.fromEntries(least) }
}

const isBack = (before: number, after: number) => after <= before

export const verdictsOf = (seen: Seen): ReadonlyArray<Verdict> => {
  const { before, after, during, wrong } = seen
  const kept = keptObjects(seen.objects)
  const isSilent = (what: string) => what.includes("no response")
  return [
    growth(
      "Resident memory under load, median of the second tenth and of the last",
      medianOf(during, early, "residentMb"),
      medianOf(during, late, "residentMb"),
      mostGrowth,
    ),
    verdict(
      "Heap and external memory at rest without garbage, before and after",
      `at most ${mostHeldMb} MB more`,
      `${heldMb(before).toFixed(0)} MB, then ${heldMb(after).toFixed(0)} MB`,
      heldMb(after) - heldMb(before) <= mostHeldMb,
    ),
    verdict(
      "Objects in the heap at rest, other than code: more than before",
      `at most ${mostObjects} and ${mostObjectsPerTurn} a turn`,
      `${kept}`,
      kept <= mostObjects + mostObjectsPerTurn * seen.turns,
    ),
    ...slopes(during),
    ...counted.map(([name, what]) =>
      verdict(
        `${what}, at rest`,
        `${before[name]} as before`,
        `${after[name]}`,
        isBack(before[name], after[name]),
      ),
    ),
    verdict(
      "ffmpeg processes, at rest",
      `at most ${warmFfmpegs}, waiting for a recording`,
      `${after.ffmpegs}`,
      after.ffmpegs <= warmFfmpegs,
    ),
    none("Requests without a response", wrong.filter(isSilent).length),
    none("Failures that were not planned", wrong.filter((what) => !isSilent(what)).length),
    none("Defects in the log", seen.defects.length),
    none("Inconsistencies in the stored data", seen.inconsistencies.length),
    // A run without turns would meet every other limit.
    verdict("Turns taken", "at least one", `${seen.turns}`, seen.turns > 0),
  ]
}

export const isGood = (verdicts: ReadonlyArray<Verdict>): boolean =>
  verdicts.every(({ verdict }) => verdict === "met")
