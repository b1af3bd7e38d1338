import { defaultReply, hosted } from "../latency.ts"
import type { Probed } from "../probing.ts"
import {
  describeLatency,
  describeOthers,
  describeReply,
  type Others,
  plainTable,
  verdictTable,
} from "../report.ts"
import type { Figures } from "./figures.ts"
import { type Loads, verdictsOf } from "./verdict.ts"

/** A run, and what it was made on. */
export interface Report extends Others {
  readonly loads: Loads
  readonly machine: string
  /** The command that makes this report again. */
  readonly command: string
}

const ms = (value: number) => (Number.isNaN(value) ? "-" : value.toFixed(0))
const probed = ({ p50, p99, max }: Probed) => [p50, p99, max].map(ms).join(", ")
const spread = ({ p50, p95 }: Figures["firstByte"]) => `${ms(p50)}, ${ms(p95)}`

const columns: ReadonlyArray<readonly [title: string, of: (figures: Figures) => string]> = [
  ["load", ({ load }) => load],
  ["turns", ({ asked }) => `${asked}`],
  ["completed", ({ heard }) => `${heard}`],
  ["refused", ({ failures }) => [...failures].map(([what, count]) => `${count} ${what}`).join(", ") || "-"],
  ["share refused", ({ asked, heard }) => `${(100 * (1 - heard / asked)).toFixed(0)} %`],
  ["refused after", ({ refusedAfter }) => ms(refusedAfter)],
  ["turns/s", ({ turnsPerSecond }) => turnsPerSecond.toFixed(1)],
  ["first audio p50, p95", ({ ownFirstAudio }) => spread(ownFirstAudio)],
  ["first byte p50, p95", ({ firstByte }) => spread(firstByte)],
  ["/health p50, p99, max", ({ health }) => probed(health)],
  ["/ready p50, p99, max", ({ ready }) => probed(ready)],
  ["own CPU", ({ ownCpu }) => `${(100 * ownCpu).toFixed(0)} %`],
  ["peak memory", ({ peakMb }) => `${peakMb.toFixed(0)} MB`],
]

/** One load as it was measured, in a line. */
export const describeRow = (figures: Figures): string =>
  columns.map(([title, of], i) => (i === 0 ? of(figures) : `${title} ${of(figures)}`)).join("; ")

/** The figures of a run: a section of docs/reliability.md. */
export const describe = (report: Report): string => {
  const { calm, full, over, afterwards } = report.loads
  return `\`${report.command}\`:

- Machine: ${report.machine}.
- Other load: ${describeOthers(report)}.
- The scripted upstream: ${describeLatency(hosted)}. Its reply: ${describeReply(defaultReply)}. The recording: 5 s of 16 kHz WAV.

${verdictTable(verdictsOf(report.loads))}

${plainTable(
  columns.map(([title]) => title),
  [calm, full, over, afterwards].map((row) => columns.map(([, of]) => of(row))),
)}`
}
