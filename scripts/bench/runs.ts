import type { Timings } from "../../src/schema.ts"
import { formOf, isHeard, type Outcome, type Speaker, takeTurn, timeTurn } from "./client.ts"
import { costOf } from "./cost.ts"
import { type Figures, type Floors, figuresOf, type Load, type Meter } from "./figures.ts"
import { atOnce, floorMs, type Latency, sequentialFloorMs, speechMs } from "./latency.ts"
import { type Taken, takeSteadily, takeTogether } from "./load.ts"
import type { Options } from "./options.ts"
import { ffmpegOf, register, type Service, startService, startUpstream, stopAll } from "./programs.ts"
import { makeRecordings } from "./recordings.ts"
import { median } from "./statistics.ts"
import { medianTurn } from "./waterfall.ts"

type Recording = Load["recording"]
const recordings: ReadonlyArray<Recording> = ["WAV", "WebM"]

/** A running service with its upstream. */
interface Bench {
  readonly service: Service
  readonly speakers: Readonly<Record<Recording, Speaker>>
  /** Runs a load and measures it. */
  readonly measure: (load: Load, take: () => Promise<Taken<Outcome>>) => Promise<Figures>
}

export const floorsOf = (latency: Latency, reply: string): Floors => ({
  pipelinedMs: floorMs(latency, reply),
  sequentialMs: sequentialFloorMs(latency, reply),
})

/** Ends both programs after `use`, also if it fails. */
const withBench = async <A>(
  { latency, reply, ffmpeg }: Pick<Options, "latency" | "reply" | "ffmpeg">,
  use: (bench: Bench) => Promise<A>,
) => {
  try {
    const upstream = await startUpstream(latency, reply)
    const service = await startService(upstream.line, ffmpegOf(ffmpeg))
    const { WAV, WebM } = await makeRecordings()
    const common = { api: service.api, key: await register(service.api), speechMs: speechMs(reply) }
    const read = (): Meter => {
      const { user, system } = process.cpuUsage()
      return { service: costOf(service.pid), benchMs: costOf(upstream.pid).ownMs + (user + system) / 1000 }
    }
    const measure: Bench["measure"] = async (load, take) => {
      const before = read()
      return figuresOf(load, floorsOf(latency, reply), await take(), before, read())
    }
    const speakers = { WAV: { ...common, form: formOf(WAV) }, WebM: { ...common, form: formOf(WebM) } }
    return await use({ service, speakers, measure })
  } finally {
    await stopAll()
  }
}

/** The pause before memory is read, in ms. The garbage collector runs within a second. */
const restMs = 3000

/** Clients that send at the same instant, and the number of repetitions. */
const together = { clients: 32, rounds: 2 }

/** Bun goes on compiling for some thousand turns. In 90 s these clients take about 1,600. */
const warmClients = 64

/** Turns with timed stages, with one client. An odd number, so that the median is a real turn. */
const timedTurns = 3

export interface PacedRun {
  readonly idleMb: number
  readonly after: { readonly residentMb: number; readonly turns: number }
  /** The stages of the median of a few turns with WebM. */
  readonly timed: Timings
}

/** All rows with the upstream's latency. `onRow` gets each row as it is measured. */
export const runPaced = (options: Options, onRow: (row: Figures) => void): Promise<PacedRun> =>
  withBench(options, async ({ service, speakers, measure }) => {
    await Bun.sleep(restMs)
    const idleMb = costOf(service.pid).residentMb
    const timed: Array<Timings> = []
    let turns = 0
    for (const recording of recordings) {
      const turn = () => {
        turns += 1
        return takeTurn(speakers[recording])
      }
      // The first step of the warm-up: the clients of a row start over the time of a turn.
      const warm = await (recording === "WAV" ? takeTogether(64, 2, turn) : takeTogether(32, 1, turn))
      const spreadMs = median(warm.counted.filter(isHeard).map(({ lastByteMs }) => lastByteMs))
      if (Number.isNaN(spreadMs)) throw new Error(`All turns fail: ${JSON.stringify(warm.counted[0])}`)
      if (recording === "WAV" && options.warmMs > 0) {
        await takeSteadily({ clients: warmClients, spreadMs, least: { turns: 1, ms: options.warmMs } }, turn)
      }
      for (const clients of options.clients) {
        const load: Load = { upstream: "paced", recording, clients, together: false }
        const steady = { clients, spreadMs: clients === 1 ? 0 : spreadMs, least: options.least }
        onRow(await measure(load, () => takeSteadily(steady, turn)))
      }
      const { clients, rounds } = together
      const load: Load = { upstream: "paced", recording, clients, together: true }
      onRow(await measure(load, () => takeTogether(clients, rounds, turn)))
    }
    for (let i = 0; i < timedTurns; i += 1) timed.push(await timeTurn(speakers.WebM))
    await Bun.sleep(restMs)
    return {
      idleMb,
      timed: medianTurn(timed),
      after: { residentMb: costOf(service.pid).residentMb, turns: turns + timed.length },
    }
  })

/** With an upstream that answers at once: the service's own time, and the turns that the cores can carry. */
const atOnceClients = [1, 32]
const atOnceLeast = { turns: 50, ms: 3000 }

export const runAtOnce = (options: Options, onRow: (row: Figures) => void): Promise<void> =>
  withBench({ ...options, latency: atOnce }, async ({ speakers, measure }) => {
    for (const recording of recordings) {
      const turn = () => takeTurn(speakers[recording])
      await takeTogether(32, recording === "WAV" ? 8 : 2, turn)
      for (const clients of atOnceClients) {
        const load: Load = { upstream: "at once", recording, clients, together: false }
        const steady = { clients, spreadMs: 0, least: atOnceLeast }
        onRow(await measure(load, () => takeSteadily(steady, turn)))
      }
    }
  })
