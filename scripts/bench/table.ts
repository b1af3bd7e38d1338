import { type Figures, failedTurns } from "./figures.ts"

/** A column of the table: title, meaning, and the text of its cells. */
export interface Column {
  readonly title: string
  readonly meaning: string
  /** In characters, if the cells are wider than the title. */
  readonly width?: number
  readonly of: (figures: Figures) => string
}

const ms = (value: number) => value.toFixed(0)

const load: ReadonlyArray<Column> = [
  {
    title: "recording",
    meaning: "5 s of audio: 16 kHz mono WAV (160 KB), or WebM/Opus as a browser records it.",
    of: ({ recording }) => recording,
  },
  {
    title: "clients",
    width: 11,
    meaning:
      'concurrent clients. Each starts its next turn when its last one has ended. They start at random moments; "together" means that all send at the same instant.',
    of: ({ clients, together }) => `${clients}${together ? " together" : ""}`,
  },
  {
    title: "turns",
    meaning: "the number of turns behind the percentiles of the row.",
    of: ({ turns }) => `${turns}`,
  },
  {
    title: "failed",
    meaning: "failed turns, including those before and after the measured ones, which keep up the load.",
    of: (figures) => `${failedTurns(figures)}`,
  },
]

const firstByte: ReadonlyArray<Column> = [
  {
    title: "first byte p50",
    meaning: "ms from sending the request to the first byte of speech, median.",
    of: ({ firstByteMs }) => ms(firstByteMs.p50),
  },
  {
    title: "first byte p95",
    meaning: "the same, 95th percentile (nearest rank).",
    of: ({ firstByteMs }) => ms(firstByteMs.p95),
  },
]

const floors: ReadonlyArray<Column> = [
  {
    title: "floor",
    meaning:
      "the shortest possible time to the first byte with this upstream, in ms, for a server that speaks sentence by sentence: transcript, first token, rest of the first sentence, its first speech.",
    of: ({ floors }) => ms(floors.pipelinedMs),
  },
  {
    title: "over floor",
    meaning: "ms by which the median first byte exceeds the floor: what the service itself adds.",
    of: ({ floors, firstByteMs }) => ms(firstByteMs.p50 - floors.pipelinedMs),
  },
  {
    title: "ratio",
    meaning: "the median first byte divided by the floor.",
    of: ({ floors, firstByteMs }) => (firstByteMs.p50 / floors.pipelinedMs).toFixed(3),
  },
  {
    title: "sequential",
    meaning:
      "the shortest possible time to the first byte, in ms, for a server that runs one stage after the other: transcript, whole reply, whole speech.",
    of: ({ floors }) => ms(floors.sequentialMs),
  },
]

const lastByte: ReadonlyArray<Column> = [
  {
    title: "last byte p50",
    meaning: "ms from sending the request to the end of the response, after the turn is saved.",
    of: ({ lastByteMs }) => ms(lastByteMs.p50),
  },
  {
    title: "last byte p95",
    meaning: "the same, 95th percentile.",
    of: ({ lastByteMs }) => ms(lastByteMs.p95),
  },
  {
    title: "turns with a gap",
    meaning: "turns in which a player that starts at the first byte runs out of audio before the end.",
    of: ({ turnsWithGap }) => `${turnsWithGap}`,
  },
  {
    title: "longest gap",
    meaning: "the longest such gap in ms.",
    of: ({ longestGapMs }) => ms(longestGapMs),
  },
]

const cost: ReadonlyArray<Column> = [
  {
    title: "own CPU",
    meaning:
      "CPU time of the service's process per turn in ms, including its compiler and garbage collector, without PostgreSQL. With one client, each chunk of speech wakes the process separately, which costs more.",
    of: ({ ownCpuMs }) => ownCpuMs.toFixed(1),
  },
  {
    title: "ffmpeg CPU",
    meaning: "CPU time of its ffmpeg processes per turn in ms.",
    of: ({ ffmpegCpuMs }) => ffmpegCpuMs.toFixed(1),
  },
  {
    title: "bench CPU",
    meaning:
      "CPU time of the scripted upstream and the clients per turn in ms. They share the cores with the service.",
    of: ({ benchCpuMs }) => benchCpuMs.toFixed(1),
  },
  {
    title: "memory",
    meaning: "resident MB of the service's process after the last turn of the row, without PostgreSQL.",
    of: ({ residentMb }) => residentMb.toFixed(0),
  },
]

/** For an upstream with the latency of hosted models. */
export const pacedColumns: ReadonlyArray<Column> = [...load, ...firstByte, ...floors, ...lastByte, ...cost]

/** For an upstream that answers at once: its floor is 0. */
export const atOnceColumns: ReadonlyArray<Column> = [
  ...load,
  { title: "turns/s", meaning: "turns per second.", of: ({ turnsPerSecond }) => turnsPerSecond.toFixed(1) },
  ...firstByte,
  ...cost,
]

const widthOf = ({ title, width = 0 }: Column) => Math.max(title.length, width)

/** Every cell has the width of its column, so rows can be printed one by one. */
const lineOf = (columns: ReadonlyArray<Column>, cell: (column: Column) => string): string =>
  `| ${columns.map((column) => cell(column).padStart(widthOf(column))).join(" | ")} |`

/** The head of a Markdown table with right-aligned columns. */
export const headOf = (columns: ReadonlyArray<Column>): string =>
  [
    lineOf(columns, ({ title }) => title),
    `|${columns.map((column) => `${"-".repeat(widthOf(column) + 1)}:`).join("|")}|`,
  ].join("\n")

export const rowOf = (columns: ReadonlyArray<Column>, figures: Figures): string =>
  lineOf(columns, ({ of }) => of(figures))

/** A table, readable as Markdown and in a terminal. */
export const tableOf = (columns: ReadonlyArray<Column>, rows: ReadonlyArray<Figures>): string =>
  [headOf(columns), ...rows.map((row) => rowOf(columns, row))].join("\n")
