import { type Figures, failedTurns, type Load } from "./figures.ts"

/** All that the budgets are held against. */
export interface Measured {
  readonly rows: ReadonlyArray<Figures>
  /** Resident memory before the first turn, in MB. */
  readonly idleMb: number
}

export interface Verdict {
  readonly budget: string
  readonly limit: string
  /** As measured, or "-". */
  readonly figure: string
  readonly verdict: "met" | "not met" | "not measured"
}

export interface Budget<M> {
  readonly what: string
  /** The figure may be so much at most, or must be so much at least. */
  readonly limit: { readonly atMost: number } | { readonly atLeast: number }
  readonly show: (value: number) => string
  /** Undefined where this run did not measure it. */
  readonly figure: (measured: M) => number | undefined
}

const inRow =
  (load: Load, of: (row: Figures) => number) =>
  ({ rows }: Measured): number | undefined => {
    const row = rows.find(
      ({ upstream, recording, clients, together }) =>
        upstream === load.upstream &&
        recording === load.recording &&
        clients === load.clients &&
        together === load.together,
    )
    return row === undefined ? undefined : of(row)
  }

const paced = (recording: Load["recording"], clients: number, together = false): Load => ({
  upstream: "paced",
  recording,
  clients,
  together,
})
const wavAtOnce = { upstream: "at once", recording: "WAV", clients: 32, together: false } as const

const ms = (value: number) => `${value.toFixed(1)} ms`

const overFloor = ({ firstByteMs, floors }: Figures) => firstByteMs.p50 - floors.pipelinedMs
const timesFloor = ({ firstByteMs, floors }: Figures) => firstByteMs.p50 / floors.pipelinedMs

const overFloorAtMost = (recording: Load["recording"], atMost: number): Budget<Measured> => ({
  what: `First byte over the floor: ${recording}, 1 client, median`,
  limit: { atMost },
  show: ms,
  figure: inRow(paced(recording, 1), overFloor),
})

/** On two cores. */
const timesFloorAtMost = (recording: Load["recording"], together: boolean): Budget<Measured> => ({
  what: `First byte over the floor: ${recording}, 32 clients${together ? " together" : ""}, median`,
  limit: { atMost: 1.15 },
  show: (value) => `${value.toFixed(3)} x`,
  figure: inRow(paced(recording, 32, together), timesFloor),
})

const ownCpuAtMost = (name: string, load: Load, atMost: number): Budget<Measured> => ({
  what: `Own CPU per turn: ${name}`,
  limit: { atMost },
  show: ms,
  figure: inRow(load, ({ ownCpuMs }) => ownCpuMs),
})

/** What this project promises of its speed and size. */
const budgets: ReadonlyArray<Budget<Measured>> = [
  overFloorAtMost("WAV", 25),
  overFloorAtMost("WebM", 60),
  timesFloorAtMost("WAV", false),
  timesFloorAtMost("WebM", false),
  timesFloorAtMost("WAV", true),
  timesFloorAtMost("WebM", true),
  ownCpuAtMost("WAV, 1 client", paced("WAV", 1), 60),
  ownCpuAtMost("WAV, 32 clients", paced("WAV", 32), 30),
  ownCpuAtMost("WAV, 32 clients, upstream at once", wavAtOnce, 30),
  {
    what: "Resident memory, idle",
    limit: { atMost: 150 },
    show: (value) => `${value.toFixed(0)} MB`,
    figure: ({ idleMb }) => idleMb,
  },
  {
    what: "Turns per second: WAV, 32 clients, upstream at once",
    limit: { atLeast: 60 },
    show: (value) => `${value.toFixed(1)} /s`,
    figure: inRow(wavAtOnce, ({ turnsPerSecond }) => turnsPerSecond),
  },
  {
    what: "Turns that failed, in all rows",
    limit: { atMost: 0 },
    show: (value) => `${value}`,
    figure: ({ rows }) => rows.reduce((sum, row) => sum + failedTurns(row), 0),
  },
]

/** In all tables. */
export const verdictOf = (isMet: boolean) => (isMet ? "met" : "not met")

/** Each budget with its figure, and whether it is met by the very number, not by the rounded one. */
export const judge = <M>(budgets: ReadonlyArray<Budget<M>>, measured: M): ReadonlyArray<Verdict> =>
  budgets.map(({ what, limit, show, figure }) => {
    const value = figure(measured)
    const [word, bound] = "atMost" in limit ? ["at most", limit.atMost] : ["at least", limit.atLeast]
    const holds = (value: number) => ("atMost" in limit ? value <= bound : value >= bound)
    return {
      budget: what,
      limit: `${word} ${show(bound)}`,
      figure: value === undefined ? "-" : show(value),
      verdict: value === undefined ? "not measured" : verdictOf(holds(value)),
    }
  })

export const verdictsOf = (measured: Measured): ReadonlyArray<Verdict> => judge(budgets, measured)
