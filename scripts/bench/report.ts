import { tokensOf } from "../../test/support/upstream-answers.ts"
import { type Measured, type Verdict, verdictsOf } from "./budgets.ts"
import type { Floors } from "./figures.ts"
import { type Latency, speechMs } from "./latency.ts"
import { atOnceColumns, type Column, pacedColumns, tableOf } from "./table.ts"

/** The share of the machine's CPU (0 to 1) that other programs used just before and just after. */
export interface Others {
  readonly othersBefore: number
  readonly othersAfter: number
}

/** The result of one run. */
export interface Report extends Measured, Others {
  readonly machine: string
  /** The command that repeats the measurement. */
  readonly command: string
  readonly latency: Latency
  readonly reply: string
  readonly warmMs: number
  /** Which one the service used. */
  readonly ffmpeg: string
  readonly floors: Floors
  /** Resident memory in MB at rest after all turns with the paced upstream, and the number of these turns. */
  readonly after: { readonly residentMb: number; readonly turns: number }
}

/** With a larger share (0 to 1) used by others, the figures are provisional. */
const quietShare = 0.05

export const describeOthers = ({ othersBefore, othersAfter }: Others): string => {
  const percent = (share: number) => `${(share * 100).toFixed(0)} %`
  const shares = `other programs used ${percent(othersBefore)} of the CPU just before, ${percent(othersAfter)} just after`
  return Math.max(othersBefore, othersAfter) > quietShare
    ? `${shares}: the figures are provisional and too high`
    : shares
}

export const describeLatency = (latency: Latency): string =>
  `speech to text ${latency.sttMs} ms; the model ${latency.llmFirstTokenMs} ms to its first token, then ${latency.llmTokensPerSecond} tokens a second; speech ${latency.ttsFirstByteMs} ms to its first byte, then ${latency.ttsRealTimeFactor} times the speed at which it plays`

export const describeReply = (reply: string): string =>
  `${tokensOf(reply).length} tokens, ${(speechMs(reply) / 1000).toFixed(1)} s of speech`

export const describeFloors = ({ pipelinedMs, sequentialMs }: Floors): string =>
  `floor ${pipelinedMs.toFixed(0)} ms, for a sequential server ${sequentialMs.toFixed(0)} ms`

export const describeMemory = ({ idleMb, after }: Report): string =>
  `${idleMb.toFixed(0)} MB idle before the first turn, ${after.residentMb.toFixed(0)} MB at rest after ${after.turns} turns`

/** A Markdown table. Rows have the order of `titles`. */
export const plainTable = (titles: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>) =>
  [titles, titles.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n")

export const verdictTable = (verdicts: ReadonlyArray<Verdict>): string =>
  plainTable(
    ["budget", "limit", "measured", ""],
    verdicts.map(({ budget, limit, figure, verdict }) => [budget, limit, figure, verdict]),
  )

export const budgetTable = (measured: Measured): string => verdictTable(verdictsOf(measured))

const legend = (columns: ReadonlyArray<Column>) =>
  columns.map(({ title, meaning }) => `- **${title}**: ${meaning}`).join("\n")

export const pacedTable = ({ rows }: Measured): string =>
  tableOf(
    pacedColumns,
    rows.filter(({ upstream }) => upstream === "paced"),
  )

export const atOnceTable = ({ rows }: Measured): string =>
  tableOf(
    atOnceColumns,
    rows.filter(({ upstream }) => upstream === "at once"),
  )

const allColumns = [...pacedColumns, ...atOnceColumns.filter((column) => !pacedColumns.includes(column))]

/** The text of docs/benchmarks.md. */
export const writeReport = (report: Report): string => `# Benchmarks

Most of a turn's time is spent in the providers. The benchmark therefore runs the service against a scripted provider with known
times, and measures what the service adds. \`${report.command}\` repeats the measurements and writes this page. It takes about
seven minutes, on Linux and on a quiet machine.

- Machine: ${report.machine}.
- Other load: ${describeOthers(report)}.
- ffmpeg: ${report.ffmpeg}.
- The scripted upstream: ${describeLatency(report.latency)}.
- Its reply: ${describeReply(report.reply)}.
- The shortest possible time to the first byte of speech: ${describeFloors(report.floors)}.
- Resident memory, without PostgreSQL's: ${describeMemory(report)}.

The service, PostgreSQL, the upstream and the clients are processes on the same machine and share its cores.

## Budgets

The limits are targets of this project for a machine with two cores. "Over the floor" is what the service adds to the
providers' time: at most 25 ms for a WAV, which needs no ffmpeg, and 60 ms for WebM, which needs one. With 32 clients the first
byte may take 1.15 times the floor ("x"). A turn may cost 30 ms of CPU, so that one core carries about 30 turns a second, and
60 ms where a single client uses the process.

Before the rows with the upstream's latency, 64 clients use the service for ${report.warmMs / 1000} s, because Bun compiles hot code for some
thousand turns: the rows show a process that has worked for a while. [The first turns](#the-first-turns) cost more.

These limits are hard to meet:

- **WebM, 32 clients together**: 32 ffmpeg processes start at the same instant and queue for two cores. Each needs 8 to 9 ms of CPU
  with the image's ffmpeg, and [60 ms with Debian's](decisions/one-ffmpeg-per-recording.md).
- **Own CPU with one client**: each token and each chunk of speech wakes the process separately, 280 times a turn, and between
  them the processor's caches are used by others. A plain proxy that sends the same requests and passes the bytes on takes about
  28 ms a turn for one client, and 9 ms for 32.
- **Own CPU with 32 clients**: Bun compiles hot code for some thousand turns, and this row comes before the process has taken so many.
  A process of 4,000 turns takes 25.3 ms a turn.
- **The first turn against later ones**: three turns are rehearsed at the start, up to the reply and without the writes to the
  database. Bun compiles hot code only with more calls. [More rehearsals](#the-first-turns) of this kind gain little and take memory.

${budgetTable(report)}

## One turn

![Stages of one turn on a time axis, and those of a sequential server below](turn-waterfall.svg)

The median of a few turns with the WebM recording and one client, measured by the service
(\`Accept: application/json\` returns its timings). Parts without a timing of their own, such as loading the history, are in the
bar of the first sentence. The sequential server below is not measured: it is the best possible result with this upstream for a server
that runs one stage after the other.

## With the upstream's latency

${pacedTable(report)}

## With an upstream that answers at once

This shows the service's own time, and how many turns the cores can carry.

${atOnceTable(report)}

## The first turns

Bun compiles functions with their first calls, so the first turns of a process cost more. In production, the service rehearses
three turns in the background when it listens, with their upload and their response, against a provider in its own process:
nothing is sent to a real one, saved or logged. With \`WARM_UP_TURNS=25\` the first byte came 4 ms earlier, and 25 MB more were
kept. \`bun run bench --start --write\` measures the start, the first turns with an upstream that answers at once, and a service
with nothing to do.

<!-- start: begin -->
<!-- start: end -->

## Without a key

The [offline engines](guides/providers.md#offline-engines), measured by \`bun run bench --engines --write\`.

<!-- engines: begin -->
<!-- engines: end -->

## Realtime connections

Conversations over the [Realtime protocol](reference/realtime.md), measured by \`bun run bench --realtime --write\`.

<!-- realtime: begin -->
<!-- realtime: end -->

## What the columns mean

${legend(allColumns)}

## Repeat the measurements

\`\`\`sh
bun run bench            # prints the tables
bun run bench --write    # and writes this page and its picture
bun run bench --engines  # the offline engines
bun run bench --realtime # Realtime connections
bun run bench --start    # the start, the first turns, and nothing to do
bun run bench --help     # other latencies, numbers of clients and durations
\`\`\`
`
