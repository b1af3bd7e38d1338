import { describeOthers, type Others, plainTable, verdictTable } from "../report.ts"
import { median } from "../statistics.ts"
import { drawMemory, type Level } from "./chart.ts"
import { grownTypes } from "./objects.ts"
import type { Run } from "./run.ts"
import type { Sample } from "./sample.ts"
import { early, late, verdictsOf, windowOf } from "./verdict.ts"

/** A run, and its machine. */
export interface Report extends Others {
  readonly run: Run
  readonly machine: string
  readonly seed: number
  /** The command that repeats the measurement. */
  readonly command: string
}

const rows: ReadonlyArray<readonly [name: keyof Sample, what: string]> = [
  ["residentMb", "resident memory, MB"],
  ["heapMb", "heap, MB, with garbage"],
  ["externalMb", "external memory, MB"],
  ["childrenMb", "memory of child processes, MB"],
  ["postgresMb", "memory of PostgreSQL, MB"],
  ["files", "open files"],
  ["ffmpegs", "ffmpeg processes, including up to 2 that wait"],
  ["otherChildren", "other child processes"],
  ["clients", "connections of clients"],
  ["upstream", "connections to the provider"],
  ["tools", "connections to tools"],
  ["database", "connections to the database"],
  ["tempFiles", "temporary files and folders"],
  ["fibers", "fibers"],
  ["turns", "running turns"],
]

/** The levels at the start, before, during and after the load. */
const levelsTable = ({ started, before, during, after }: Run): string =>
  plainTable(
    ["", "just started", "before", "during, median", "during, most", "after"],
    rows.map(([name, what]) => {
      const all = during.map((sample) => sample[name])
      const cells = [started[name], before[name], median(all), Math.max(...all), after[name]]
      return [what, ...cells.map((value) => value.toFixed(0))]
    }),
  )

/** The number of visits of each kind, and how their requests ended. */
const visitsTable = ({ visits }: Run): string =>
  plainTable(
    ["visit", "times", "how its requests ended"],
    [...visits].map(([kind, { times, ends }]) => {
      const sorted = [...ends].toSorted(([, a], [, b]) => b - a)
      return [kind, `${times}`, sorted.map(([end, count]) => `${end} ${count}`).join(", ")]
    }),
  )

const minutes = (ms: number) => (ms / 60_000).toFixed(1)

const levelOf = (during: ReadonlyArray<Sample>, [from, to]: readonly [number, number]): Level => {
  const part = windowOf(during, from, to)
  return {
    from: part[0]?.seconds ?? 0,
    to: part.at(-1)?.seconds ?? 0,
    residentMb: median(part.map(({ residentMb }) => residentMb)),
  }
}

export const picture = ({ during }: Run): string =>
  drawMemory(
    "Memory of the service under a mixed load",
    during.map(({ seconds, residentMb, heapMb, externalMb }) => ({
      seconds,
      residentMb,
      heldMb: heapMb + externalMb,
    })),
    [levelOf(during, early), levelOf(during, late)],
  )

/** The figures of a run: a section of docs/reliability.md. */
export const describe = (report: Report): string => {
  const { run, machine, seed, command } = report
  const times = ({ p50, p99, max }: Run["health"]) =>
    `p50 ${p50.toFixed(0)} ms, p99 ${p99.toFixed(0)} ms, longest ${max.toFixed(0)} ms`
  const wrong = [...run.wrong, ...run.inconsistencies, ...run.defects]
  return `\`${command}\`, with the seed ${seed}:

- Machine: ${machine}.
- Other load: ${describeOthers(report)}.
- ${run.turns} turns in ${minutes(run.wallMs)} minutes, ${(run.turns / (run.wallMs / 1000)).toFixed(1)} a second.
- \`/health\` responded in ${times(run.health)}; \`/ready\` in ${times(run.ready)}.

${verdictTable(verdictsOf(run))}
${wrong.length === 0 ? "" : `\nFailures:\n\n${[...new Set(wrong)].map((what) => `- ${what}`).join("\n")}\n`}
![The service's memory over the time of the load](soak-memory.svg)

${levelsTable(run)}

${plainTable(
  ["objects at rest", "before", "after"],
  grownTypes(run.objects).map(({ type, before, after }) => [type, `${before}`, `${after}`]),
)}

${visitsTable(run)}`
}
