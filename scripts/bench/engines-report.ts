import type { HeardRow, TurnRow } from "./engines.ts"
import { describeOthers, type Others, plainTable } from "./report.ts"

export interface EnginesReport extends Others {
  readonly machine: string
  readonly hearing: ReadonlyArray<HeardRow>
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

/** The section "engines" of docs/benchmarks.md. */
export const enginesSection = (report: EnginesReport): string => `- Machine: ${report.machine}.
- Other load: ${describeOthers(report)}.

The recognizers on five readings of a LibriVox reader (Debian's pocketsphinx-testdata, 24.7 s, 71 words):

${hearingTable(report.hearing)}

Whole turns without a key, with the third of these readings (5.3 s) as WAV. Times are from sending the request, in which the
recording is sent at once; memory is resident, and the engine is the process that hears. Of the service's event loop, a timer of 2 ms was late by so much
at most, which on a busy machine includes other programs' time, and its thread was busy for so long at most between two
ticks:

${turnsTable(report.turns)}`
