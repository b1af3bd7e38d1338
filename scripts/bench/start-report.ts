import { type Budget, judge } from "./budgets.ts"
import { describeOthers, type Others, plainTable, verdictTable } from "./report.ts"
import type { StartFigures } from "./start.ts"

export interface StartReport extends Others {
  readonly machine: string
  readonly figures: StartFigures
}

const ms = (value: number) => `${value.toFixed(0)} ms`
const percent = (value: number) => `${(value * 100).toFixed(2)} %`

/** What this project promises of a process that has just started, on two cores. */
const budgets: ReadonlyArray<Budget<StartFigures>> = [
  { what: "From the start to ready", limit: { atMost: 1000 }, show: ms, figure: ({ readyMs }) => readyMs },
  {
    what: "First byte of the first turn, against the turns 81 to 120",
    limit: { atMost: 1.5 },
    show: (value) => `${value.toFixed(2)} x`,
    figure: ({ firstTurnMs, laterTurnMs }) => firstTurnMs / laterTurnMs,
  },
  {
    what: "CPU with nothing to do, with PostgreSQL",
    limit: { atMost: 0.003 },
    show: percent,
    figure: ({ idleShareWithDatabase }) => idleShareWithDatabase,
  },
]

export const startTable = (figures: StartFigures): string =>
  plainTable(
    ["figure", "measured"],
    [
      ["from the start to ready, on a migrated database", ms(figures.readyMs)],
      ["first byte of the first turn", ms(figures.firstTurnMs)],
      ["first byte of the turns 2 to 20, median", ms(figures.earlyTurnMs)],
      ["first byte of the turns 81 to 120, median", ms(figures.laterTurnMs)],
      ["own CPU of the first turn", ms(figures.firstTurnCpuMs)],
      ["own CPU of the turns 81 to 120, mean", ms(figures.laterTurnCpuMs)],
      ["CPU of the service with nothing to do, share of a core", percent(figures.idleShare)],
      ["the same with its PostgreSQL", percent(figures.idleShareWithDatabase)],
    ],
  )

export const startVerdicts = (figures: StartFigures): string => verdictTable(judge(budgets, figures))

/** The section "start" of docs/benchmarks.md. */
export const startSection = (report: StartReport): string => `- Machine: ${report.machine}.
- Other load: ${describeOthers(report)}.

${startTable(report.figures)}

${startVerdicts(report.figures)}`
