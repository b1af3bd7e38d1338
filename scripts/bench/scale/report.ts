import { describeOthers } from "../report.ts"
import type { Row, Traffic } from "./run.ts"

interface Report {
  readonly rows: ReadonlyArray<Row>
  readonly traffic: Traffic
  readonly machine: string
  readonly command: string
  readonly othersBefore: number
  readonly othersAfter: number
}

const columns: ReadonlyArray<readonly [title: string, of: (row: Row) => string]> = [
  ["processes", ({ processes }) => `${processes}`],
  ["clients", ({ clients }) => `${clients}`],
  ["turns", ({ turns }) => `${turns}`],
  ["failed", ({ failed }) => `${failed}`],
  ["turns/s", ({ turnsPerSecond }) => turnsPerSecond.toFixed(1)],
  ["last byte p50", ({ lastByteMs }) => lastByteMs.p50.toFixed(0)],
  ["last byte p95", ({ lastByteMs }) => lastByteMs.p95.toFixed(0)],
  ["service CPU", ({ serviceCpuMs }) => serviceCpuMs.toFixed(1)],
  ["database CPU", ({ databaseCpuMs }) => databaseCpuMs.toFixed(2)],
  ["bench CPU", ({ benchCpuMs }) => benchCpuMs.toFixed(1)],
  ["WAL bytes", ({ walBytes }) => walBytes.toFixed(0)],
]

const line = (cells: ReadonlyArray<string>) => `| ${cells.join(" | ")} |`

/** The head of the table of rows. */
export const headOfRows = [line(columns.map(([title]) => title)), line(columns.map(() => "---:"))].join("\n")

export const lineOf = (row: Row): string => line(columns.map(([, of]) => of(row)))

/** The turns a second that one core of PostgreSQL carries, by the cheapest row. */
const turnsPerCore = (rows: ReadonlyArray<Row>) =>
  1000 / Math.min(...rows.map(({ databaseCpuMs }) => databaseCpuMs))

/** The section of docs/scaling.md. */
export const scaleSection = ({
  rows,
  traffic,
  machine,
  command,
  othersBefore,
  othersAfter,
}: Report): string => `
\`${command}\` on ${machine}. Meanwhile ${describeOthers({ othersBefore, othersAfter })}.

Every turn is a recording of 5 s, answered by an upstream without latency. CPU is in ms per turn. The upstream and the clients share the
cores with the service and with PostgreSQL, which waits for its disk as in production.

${[headOfRows, ...rows.map(lineOf)].join("\n")}

One turn asks PostgreSQL for ${traffic.statements.toFixed(1)} statements, which take ${(traffic.bytes / 1024).toFixed(1)} KB in both directions, and
the database grows by ${(traffic.storedBytes / 1024).toFixed(1)} KB with its indexes. One core of PostgreSQL carries about ${turnsPerCore(rows).toFixed(0)} turns a second.

| statement | per turn |
| --- | ---: |
${Array.from(traffic.kinds, ([kind, count]) => `| \`${kind.replaceAll("|", "\\|")}\` | ${count.toFixed(1)} |`).join("\n")}
`
