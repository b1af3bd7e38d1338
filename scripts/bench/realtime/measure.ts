import { join } from "node:path"
import { Schema } from "effect"
import { type Cost, costOf } from "../cost.ts"
import { linkModels } from "../engines.ts"
import { atOnce, floorMs, hosted, type Latency } from "../latency.ts"
import { pause, register, startProgram, startService, startUpstream, stopAll } from "../programs.ts"
import { median, percentile } from "../statistics.ts"
import { Driven, Plan } from "./plan.ts"

/** `silence_duration_ms` of a session, by default. */
const silenceMs = 500

/** 1.5 s of speech: people hear the reply before they ask again. */
const shortReply = "Yes, it is open today."
/** Long enough to be interrupted while it is being sent. */
const longReply =
  "The museum by the river opens at nine in the morning on most days. You can walk there from the old station in ten minutes, or take the tram that stops outside. The paintings on the second floor are worth the climb, and the small garden behind the house is a quiet place to rest."

/** Speech that comes little faster than it plays: the reply is still being sent when it is interrupted. */
const slowSpeech: Latency = { ...hosted, ttsRealTimeFactor: 1.2 }

/** How long the figures of silent sockets are taken, and how long memory rests before it is read, in ms. */
const [silentMs, restMs] = [15_000, 3000]

export interface RealtimeRow {
  readonly load: string
  readonly sockets: number
  /** From the end of speech to the first audio, or undefined where nobody speaks. */
  readonly firstAudio: Share | undefined
  readonly interruption:
    | {
        readonly count: number
        readonly startedMs: Percentiles
        readonly lastAudioMs: Percentiles
      }
    | undefined
  /** CPU per second, in ms. */
  readonly serviceMs: number
  readonly detectorMs: number
  readonly driverMs: number
  /** Resident memory of the service and its detector over that before the sockets, in MB per socket. */
  readonly socketMb: number
  /** The 95th percentile of how late the driver sent its audio, in ms. */
  readonly lateMs: number
  readonly failures: ReadonlyMap<string, number>
}

export interface Percentiles {
  readonly p50: number
  readonly p95: number
}

interface Share extends Percentiles {
  readonly count: number
  /** From the end of the speech to speech_stopped. */
  readonly stoppedMs: Percentiles
  /** silence_duration and what the upstream itself needs, in ms. */
  readonly floorMs: number
}

interface Load {
  readonly load: string
  readonly latency: Latency
  readonly reply: string
  readonly plan: Pick<Plan, "listening" | "sound" | "speaking" | "interrupts" | "questions">
}

const quiet = { listening: 0, sound: "room", speaking: 0, interrupts: false, questions: 0 } as const

export const loads: ReadonlyArray<Load> = [
  {
    load: "1 speaking, upstream at once",
    latency: atOnce,
    reply: shortReply,
    plan: { ...quiet, speaking: 1, questions: 10 },
  },
  { load: "1 speaking", latency: hosted, reply: shortReply, plan: { ...quiet, speaking: 1, questions: 10 } },
  {
    load: "20 speaking, 180 listening",
    latency: hosted,
    reply: shortReply,
    plan: { ...quiet, listening: 180, speaking: 20, questions: 200 },
  },
  {
    load: "1 interrupting",
    latency: slowSpeech,
    reply: longReply,
    plan: { ...quiet, speaking: 1, interrupts: true, questions: 10 },
  },
  {
    load: "20 interrupting, 180 listening",
    latency: slowSpeech,
    reply: longReply,
    plan: { ...quiet, listening: 180, speaking: 20, interrupts: true, questions: 200 },
  },
  { load: "500 in a quiet room", latency: hosted, reply: shortReply, plan: { ...quiet, listening: 500 } },
  {
    load: "500 muted",
    latency: hosted,
    reply: shortReply,
    plan: { ...quiet, listening: 500, sound: "muted" },
  },
]

const percentiles = (values: ReadonlyArray<number>): Percentiles => ({
  p50: median(values),
  p95: percentile(values, 0.95),
})

/** The process of Silero, a child of the service. */
const detectorOf = (service: number): number | undefined =>
  Bun.spawnSync(["pgrep", "-P", `${service}`, "-f", "silero/child.ts"])
    .stdout.toString()
    .split("\n")
    .filter((line) => line !== "")
    .map(Number)[0]

const nothing: Cost = { ownMs: 0, childrenMs: 0, residentMb: 0 }
const detectorCost = (service: number): Cost => {
  const pid = detectorOf(service)
  return pid === undefined ? nothing : costOf(pid)
}

const decodeReport = Schema.decodeUnknownSync(Schema.parseJson(Driven))

const measureLoad = async ({ load, latency, reply, plan }: Load): Promise<RealtimeRow> => {
  try {
    const upstream = await startUpstream(latency, reply)
    const service = await startService(upstream.line)
    const key = await register(service.api)
    const driver = (wanted: Plan) => {
      const script = join(import.meta.dir, "driver.ts")
      return startProgram([script, JSON.stringify(wanted)], {}, (line) => line === "ready")
    }
    const url = `${service.api.replace("http", "ws")}/realtime`
    // Starts the detector and warms the service up, so that a socket is not charged for them.
    const first = await driver(new Plan({ url, key, ...quiet, speaking: 4 }))
    await first.says((line) => line === "warm")
    await first.stop()
    await pause(restMs)
    const before = { service: costOf(service.pid).residentMb, detector: detectorCost(service.pid).residentMb }

    const driving = await driver(new Plan({ url, key, ...plan }))
    await driving.says((line) => line === "warm")
    const read = () => ({
      at: performance.now(),
      service: costOf(service.pid),
      detector: detectorCost(service.pid),
      driver: costOf(driving.pid),
    })
    const reported = driving.says((line) => line.startsWith("{"))
    const from = read()
    if (plan.questions === 0) await pause(silentMs)
    const to = plan.questions === 0 ? read() : undefined
    if (plan.questions === 0) process.kill(driving.pid, "SIGUSR2")
    // The driver ends with its report: the last reading is the one before.
    let last = to ?? from
    const watch = setInterval(() => {
      if (to === undefined) last = read()
    }, 250)
    const report = decodeReport(await reported.finally(() => clearInterval(watch)))
    const perSecond = (part: "service" | "detector" | "driver") =>
      (last[part].ownMs - from[part].ownMs) / ((last.at - from.at) / 1000)
    const sockets = plan.listening + plan.speaking
    const grown = last.service.residentMb - before.service + last.detector.residentMb - before.detector
    return {
      load,
      sockets,
      firstAudio:
        report.asked.length === 0
          ? undefined
          : {
              ...percentiles(report.asked.map(({ firstAudioMs }) => firstAudioMs)),
              count: report.asked.length,
              stoppedMs: percentiles(report.asked.map(({ stoppedMs }) => stoppedMs)),
              floorMs: silenceMs + floorMs(latency, reply),
            },
      interruption:
        report.interrupted.length === 0
          ? undefined
          : {
              count: report.interrupted.length,
              startedMs: percentiles(report.interrupted.map(({ startedMs }) => startedMs)),
              lastAudioMs: percentiles(report.interrupted.map(({ lastAudioMs }) => lastAudioMs)),
            },
      serviceMs: perSecond("service"),
      detectorMs: perSecond("detector"),
      driverMs: perSecond("driver"),
      socketMb: grown / sockets,
      lateMs: report.lateMs,
      failures: new Map(Object.entries(report.failures)),
    }
  } finally {
    await stopAll()
  }
}

/** All rows. `onRow` gets each as it is measured. */
export const measureRealtime = async (
  onRow: (row: RealtimeRow) => void,
): Promise<ReadonlyArray<RealtimeRow>> => {
  await linkModels()
  const rows: Array<RealtimeRow> = []
  for (const load of loads) {
    const row = await measureLoad(load)
    rows.push(row)
    onRow(row)
  }
  return rows
}
