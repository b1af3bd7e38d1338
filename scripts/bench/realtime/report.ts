import { verdictOf } from "../budgets.ts"
import { describeOthers, type Others, plainTable } from "../report.ts"
import type { Percentiles, RealtimeRow } from "./measure.ts"

export interface RealtimeReport extends Others {
  readonly machine: string
  readonly rows: ReadonlyArray<RealtimeRow>
}

/** Goals of this project, on two cores. The share of the floor is that of the median for one socket, else of p95. */
const goals = { aloneShare: 1.05, loadedShare: 1.15, lastAudioMs: 60, socketMb: 1 } as const

const whole = (value: number) => value.toFixed(0)
const both = ({ p50, p95 }: Percentiles) => [`${whole(p50)} ms`, `${whole(p95)} ms`]

const firstAudioTable = (rows: ReadonlyArray<RealtimeRow>) =>
  plainTable(
    [
      "load",
      "replies",
      "floor",
      "speech_stopped p50",
      "first audio p50",
      "p95",
      "over the floor",
      "goal",
      "",
    ],
    rows.flatMap(({ load, sockets, firstAudio }) => {
      if (firstAudio === undefined) return []
      const { count, floorMs, p50, p95, stoppedMs } = firstAudio
      const [share, goal] =
        sockets === 1 ? [p50 / floorMs, goals.aloneShare] : [p95 / floorMs, goals.loadedShare]
      return [
        [
          load,
          `${count}`,
          `${whole(floorMs)} ms`,
          `${whole(stoppedMs.p50)} ms`,
          ...both(firstAudio),
          `${share.toFixed(2)} x`,
          `${goal} x`,
          verdictOf(share <= goal),
        ],
      ]
    }),
  )

const interruptionTable = (rows: ReadonlyArray<RealtimeRow>) =>
  plainTable(
    ["load", "interruptions", "speech_started p50", "p95", "last audio p50", "p95", "goal", ""],
    rows.flatMap(({ load, interruption }) =>
      interruption === undefined
        ? []
        : [
            [
              load,
              `${interruption.count}`,
              ...both(interruption.startedMs),
              ...both(interruption.lastAudioMs),
              `${goals.lastAudioMs} ms`,
              verdictOf(interruption.lastAudioMs.p95 <= goals.lastAudioMs),
            ],
          ],
    ),
  )

/** Of a few sockets, the heap's own movements are larger. The goal is that of silent ones. */
const memoryOf = ({ sockets, socketMb, firstAudio, interruption }: RealtimeRow) => {
  if (sockets < 100) return ""
  const figure = `${socketMb.toFixed(2)} MB`
  const isSilent = firstAudio === undefined && interruption === undefined
  return isSilent ? `${figure} (goal ${goals.socketMb}, ${verdictOf(socketMb <= goals.socketMb)})` : figure
}

const costTable = (rows: ReadonlyArray<RealtimeRow>) =>
  plainTable(
    ["load", "service", "detector", "clients", "clients late p95", "memory per socket"],
    rows.map((row) => [
      row.load,
      `${whole(row.serviceMs)} ms/s`,
      `${whole(row.detectorMs)} ms/s`,
      `${whole(row.driverMs)} ms/s`,
      `${whole(row.lateMs)} ms`,
      memoryOf(row),
    ]),
  )

const hasSpeech = ({ firstAudio }: RealtimeRow) => firstAudio !== undefined
const hasInterruption = ({ interruption }: RealtimeRow) => interruption !== undefined

export const realtimeTables = (rows: ReadonlyArray<RealtimeRow>): string =>
  [
    ...(rows.some(hasSpeech) ? [firstAudioTable(rows)] : []),
    ...(rows.some(hasInterruption) ? [interruptionTable(rows)] : []),
    costTable(rows),
  ].join("\n\n")

const failuresOf = (rows: ReadonlyArray<RealtimeRow>) =>
  rows.flatMap(({ load, failures }) => [...failures].map(([text, count]) => `- ${load}: ${count} x ${text}`))

/** The section "realtime" of docs/benchmarks.md. */
export const realtimeSection = (report: RealtimeReport): string => {
  const { machine, rows } = report
  const failures = failuresOf(rows)
  return `- Machine: ${machine}.
- Other load: ${describeOthers(report)}.

The upstream is the scripted one with its usual latency, unless it answers at once. Audio goes in in real time: speakers send 20 ms
in an event, listeners 100 ms. Speakers ask a recorded question, hear the reply and ask again; listeners send the noise of a quiet
room (-60 dBFS), which the detector has to judge, or digital silence where they are muted. The clients are a process of their own.

**From the end of speech to the first audio.** The floor is \`silence_duration_ms\` (500) and what the upstream needs for the
transcript, the first sentence and its first byte of speech. It can be beaten: the service transcribes during the silence. Before
speech_stopped, the detector takes some time to be sure that the voice has ended.

An upstream that answers at once misses the goal, because 1.05 times the floor leaves 25 ms for all that comes after the silence. The
silence is counted in frames of 32 ms, so 500 ms are 512 ms, and it begins only when the detector's probability has fallen below the
threshold: speech_stopped alone comes later than the goal. With the usual latency, the transcript in the silence makes up for it.

${firstAudioTable(rows.filter(hasSpeech))}

**From an interruption to the last audio.** speech_started is counted from the first sound of the interruption, and the last audio
of the reply from speech_started. It comes late on purpose: speech during a reply is held back until it counts as an interruption.
A pause and a transcript with words decide after 200 ms of voice (\`REALTIME_INTERRUPTION_MIN_MS\`); unbroken speech counts after
600 ms (\`REALTIME_BACKCHANNEL_MAX_MS\`), and the detector has to judge it first. So a cough or an "mhm" does not end the reply.

${interruptionTable(rows.filter(hasInterruption))}

**Cost.** CPU per second (1000 ms/s is one core). Memory is that of the service and its detector over a service with no sockets.

${costTable(rows)}${failures.length === 0 ? "" : `\n\nFailures:\n\n${failures.join("\n")}`}`
}
