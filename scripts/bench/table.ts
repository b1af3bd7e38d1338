import { type Figures, failedTurns } from "./figures.ts"

/** One column of the table: what it is called, what it means, and how a row fills it. */
export interface Column {
  readonly title: string
  readonly meaning: string
  /** In characters, where its cells are wider than its title. */
  readonly width?: number
  readonly of: (figures: Figures) => string
}

const ms = (value: number) => value.toFixed(0)

const load: ReadonlyArray<Column> = [
  {
    title: "recording",
    meaning: "5 s of sound: 16 kHz mono WAV (160 KB), or WebM/Opus as a browser records it.",
    of: ({ recording }) => recording,
  },
  {
    title: "clients",
    width: 11,
    meaning:
      'how many take turns at once, each its next turn when its last has ended. They begin at random moments, as people do; "together" means that all send in the same instant.',
    of: ({ clients, together }) => `${clients}${together ? " together" : ""}`,
  },
  {
    title: "turns",
    meaning: "how many turns the row's percentiles are of.",
    of: ({ turns }) => `${turns}`,
  },
  {
    title: "failed",
    meaning:
      "how many turns failed, among those and among the ones just before and after that keep the load up.",
    of: (figures) => `${failedTurns(figures)}`,
  },
]

const firstByte: ReadonlyArray<Column> = [
  {
    title: "first byte p50",
    meaning: "ms from sending the request to the first byte of speech, in the median.",
    of: ({ firstByteMs }) => ms(firstByteMs.p50),
  },
  {
    title: "first byte p95",
    meaning: "the same for the slowest of twenty (nearest rank).",
    of: ({ firstByteMs }) => ms(firstByteMs.p95),
  },
]

const floors: ReadonlyArray<Column> = [
  {
    title: "floor",
    meaning:
      "ms to the first byte that this upstream allows to any server that speaks in sentences: transcript, first token, rest of the first sentence, its first speech.",
    of: ({ floors }) => ms(floors.pipelinedMs),
  },
  {
    title: "over floor",
    meaning: "ms of the median first byte above that floor: what the service itself adds.",
    of: ({ floors, firstByteMs }) => ms(firstByteMs.p50 - floors.pipelinedMs),
  },
  {
    title: "ratio",
    meaning: "the median first byte divided by that floor.",
    of: ({ floors, firstByteMs }) => (firstByteMs.p50 / floors.pipelinedMs).toFixed(3),
  },
  {
    title: "sequential",
    meaning:
      "ms to the first byte that this upstream allows to a server that takes one step after the other: transcript, whole reply, whole speech.",
    of: ({ floors }) => ms(floors.sequentialMs),
  },
]

const lastByte: ReadonlyArray<Column> = [
  {
    title: "last byte p50",
    meaning: "ms from sending the request to the end of the answer, which comes once the turn is saved.",
    of: ({ lastByteMs }) => ms(lastByteMs.p50),
  },
  { title: "last byte p95", meaning: "the same for p95.", of: ({ lastByteMs }) => ms(lastByteMs.p95) },
  {
    title: "turns with a gap",
    meaning: "turns in which a player that starts at the first byte runs out of sound before the end.",
    of: ({ turnsWithGap }) => `${turnsWithGap}`,
  },
  {
    title: "longest gap",
    meaning: "the longest such silence in ms.",
    of: ({ longestGapMs }) => ms(longestGapMs),
  },
]

const cost: ReadonlyArray<Column> = [
  {
    title: "own CPU",
    meaning:
      "CPU of the service's process per turn in ms, with its compiler's and garbage collector's threads; without PostgreSQL's. With one client each part of the speech wakes the process by itself, which costs more.",
    of: ({ ownCpuMs }) => ownCpuMs.toFixed(1),
  },
  {
    title: "ffmpeg CPU",
    meaning: "CPU of its ffmpeg processes per turn in ms.",
    of: ({ ffmpegCpuMs }) => ffmpegCpuMs.toFixed(1),
  },
  {
    title: "bench CPU",
    meaning:
      "CPU of the scripted upstream and the clients per turn in ms: they run on the same cores, and take what the service could use.",
    of: ({ benchCpuMs }) => benchCpuMs.toFixed(1),
  },
  {
    title: "memory",
    meaning: "resident MB of the service's process after the row's last turn. Without PostgreSQL's.",
    of: ({ residentMb }) => residentMb.toFixed(0),
  },
]

/** For an upstream that takes its time. */
export const pacedColumns: ReadonlyArray<Column> = [...load, ...firstByte, ...floors, ...lastByte, ...cost]

/** For one that answers at once: its floor is 0. */
export const atOnceColumns: ReadonlyArray<Column> = [
  ...load,
  { title: "turns/s", meaning: "turns a second.", of: ({ turnsPerSecond }) => turnsPerSecond.toFixed(1) },
  ...firstByte,
  ...cost,
]

const widthOf = ({ title, width = 0 }: Column) => Math.max(title.length, width)

/** Every cell as wide as its column, so that rows can be printed before all are known. */
const lineOf = (columns: ReadonlyArray<Column>, cell: (column: Column) => string): string =>
  `| ${columns.map((column) => cell(column).padStart(widthOf(column))).join(" | ")} |`

/** The head of a Markdown table, its columns to the right. */
export const headOf = (columns: ReadonlyArray<Column>): string =>
  [
    lineOf(columns, ({ title }) => title),
    `|${columns.map((column) => `${"-".repeat(widthOf(column) + 1)}:`).join("|")}|`,
  ].join("\n")

export const rowOf = (columns: ReadonlyArray<Column>, figures: Figures): string =>
  lineOf(columns, ({ of }) => of(figures))

/** A whole table, which reads as Markdown and in a terminal. */
export const tableOf = (columns: ReadonlyArray<Column>, rows: ReadonlyArray<Figures>): string =>
  [headOf(columns), ...rows.map((row) => rowOf(columns, row))].join("\n")
