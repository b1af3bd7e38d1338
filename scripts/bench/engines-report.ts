import { type Budget, judge } from "./budgets.ts"
import type { HeardRow, SpokenRow, TurnRow } from "./engines.ts"
import { describeOthers, type Others, plainTable, verdictTable } from "./report.ts"

export interface EnginesReport extends Others {
  readonly machine: string
  readonly hearing: ReadonlyArray<HeardRow>
  readonly speaking: ReadonlyArray<SpokenRow>
  /** Resident memory of the process that finds speech in live audio, in MB. Undefined: Silero is not installed. */
  readonly sileroMb: number | undefined
  /** What hears and what speaks in the turns. */
  readonly engines: { readonly stt: string; readonly tts: string }
  readonly turns: ReadonlyArray<TurnRow>
}

const whole = (value: number) => value.toFixed(0)

export const hearingTable = (rows: ReadonlyArray<HeardRow>): string =>
  plainTable(
    ["recognizer", "wrong words", "time per second of audio", "median", "memory"],
    rows.map(({ engine, wordErrorRate, realTimeFactor, medianMs, residentMb }) => [
      engine,
      `${(wordErrorRate * 100).toFixed(1)} %`,
      `${realTimeFactor.toFixed(3)} s`,
      `${whole(medianMs)} ms`,
      residentMb === undefined ? "a process per recording" : `${whole(residentMb)} MB`,
    ]),
  )

export const turnsTable = (rows: ReadonlyArray<TurnRow>): string =>
  plainTable(
    [
      "clients",
      "turns",
      "failed",
      "first byte p50",
      "first byte p95",
      "last byte p50",
      "service",
      "engine",
      "loop late",
      "loop busy",
    ],
    rows.map(({ clients, turns, failed, firstByteMs, lastByteMs, serviceMb, engineMb, loop }) => [
      `${clients}`,
      `${turns}`,
      `${failed}`,
      `${whole(firstByteMs.p50)} ms`,
      `${whole(firstByteMs.p95)} ms`,
      `${whole(lastByteMs)} ms`,
      `${whole(serviceMb)} MB`,
      `${whole(engineMb)} MB`,
      `${loop.lateMs.toFixed(1)} ms`,
      `${loop.busyMs.toFixed(1)} ms`,
    ]),
  )

export const speakingTable = (rows: ReadonlyArray<SpokenRow>): string =>
  plainTable(
    ["voice", "time per second of speech", "a sentence, median", "memory"],
    rows.map(({ engine, realTimeFactor, medianMs, residentMb }) => [
      engine,
      `${realTimeFactor.toFixed(3)} s`,
      `${whole(medianMs)} ms`,
      `${whole(residentMb)} MB`,
    ]),
  )

type Measured = Pick<EnginesReport, "hearing" | "speaking" | "sileroMb" | "engines" | "turns">

const ms = (value: number) => `${value.toFixed(1)} ms`
const one = ({ turns }: Measured) => turns.find(({ clients }) => clients === 1)

/** What this project promises of the service without a key, with the models of the set-up on two cores. */
const budgets: ReadonlyArray<Budget<Measured>> = [
  {
    what: "First audio of a turn: 1 client, median",
    limit: { atMost: 600 },
    show: ms,
    figure: (measured) => one(measured)?.firstByteMs.p50,
  },
  {
    what: "Wrong words of the recognizer",
    limit: { atMost: 0.06 },
    show: (value) => `${(value * 100).toFixed(1)} %`,
    figure: ({ hearing, engines }) => hearing.find(({ engine }) => engine === engines.stt)?.wordErrorRate,
  },
  {
    what: "Memory of all processes of the engines: they hear, find speech and speak",
    limit: { atMost: 400 },
    show: (value) => `${whole(value)} MB`,
    figure: (measured) => {
      const { speaking, sileroMb, engines } = measured
      const voiceMb = speaking.find(({ engine }) => engine === engines.tts)?.residentMb
      const turns = one(measured)
      if (turns === undefined || voiceMb === undefined || sileroMb === undefined) return undefined
      return turns.engineMb + voiceMb + sileroMb
    },
  },
  {
    what: "The event loop, blocked at most: 1 client",
    limit: { atMost: 20 },
    show: ms,
    figure: (measured) => one(measured)?.loop.busyMs,
  },
  {
    what: "Turns that failed, in all rows",
    limit: { atMost: 0 },
    show: (value) => `${value}`,
    figure: ({ turns }) => turns.reduce((sum, { failed }) => sum + failed, 0),
  },
]

export const enginesVerdicts = (measured: Measured): string => verdictTable(judge(budgets, measured))

/** The section "engines" of docs/benchmarks.md. */
export const enginesSection = (report: EnginesReport): string => `- Machine: ${report.machine}.
- Other load: ${describeOthers(report)}.

The recognizers on five readings of a LibriVox reader (Debian's pocketsphinx-testdata, 24.7 s, 71 words):

${hearingTable(report.hearing)}

The voices on the texts of these readings. The memory of a program is what one of its processes takes at most, for one sentence:

${speakingTable(report.speaking)}

Silero, which finds the speech in live audio for all Realtime connections, takes ${report.sileroMb === undefined ? "- (not installed)" : `${whole(report.sileroMb)} MB`}.

Whole turns without a key, with the third of these readings (5.3 s) as WAV: ${report.engines.stt} hears, ${report.engines.tts} speaks.
Times are from sending the request, in which the recording is sent at once; memory is resident, and the engine is the
processes that stay. *loop late*: the most by which a 2 ms timer was late; other programs' time counts too. *loop busy*: the longest
CPU time between two ticks.

${turnsTable(report.turns)}

The goals are for two cores and the models of the set-up:

${enginesVerdicts(report)}`
