import { formOf, isHeard, takeTurn } from "./client.ts"
import { costOf, treeCpuMs } from "./cost.ts"
import { atOnce, defaultReply, speechMs } from "./latency.ts"
import { pause, register, type Service, startService, startUpstream, stopAll } from "./programs.ts"
import { makeRecordings } from "./recordings.ts"
import { median } from "./statistics.ts"

/** What a process that has just started does. Times in ms, of the median of its starts. */
export interface StartFigures {
  /** From the start of the program to the line that it listens. */
  readonly readyMs: number
  /** The first byte of the turns of one client, with an upstream that answers at once. */
  readonly firstTurnMs: number
  /** Of the turns 2 to 20. */
  readonly earlyTurnMs: number
  /** Of the turns 81 to 120. */
  readonly laterTurnMs: number
  /** CPU of the process in its first turn, and in one of the turns 81 to 120. */
  readonly firstTurnCpuMs: number
  readonly laterTurnCpuMs: number
  /** CPU of the service without anything to do, as a share of a core (0 to 1), and with its PostgreSQL. */
  readonly idleShare: number
  readonly idleShareWithDatabase: number
}

/** Starts that are measured. An odd number. */
const starts = 3
const turns = 120

/** Bun's garbage collector wakes every second until the heap has not changed for 30 s. */
const settleMs = 45_000
const idleMs = 30_000

/** Between the start and the first turn, in ms: the first user does not come at once. */
const beforeFirstMs = 3000

const environment = { DATA_DIR: ".data/bench-start" }

const measureIdle = async (service: Service) => {
  await pause(settleMs)
  const [own, all] = [costOf(service.pid).ownMs, treeCpuMs(service.pid)]
  await pause(idleMs)
  return {
    idleShare: (costOf(service.pid).ownMs - own) / idleMs,
    idleShareWithDatabase: (treeCpuMs(service.pid) - all) / idleMs,
  }
}

/** `bun run bench --start`. */
export const measureStart = async (): Promise<StartFigures> => {
  try {
    const upstream = await startUpstream(atOnce, defaultReply)
    const { WAV } = await makeRecordings()
    const form = formOf(WAV)
    const takeTurns = async (service: Service, count: number) => {
      const speaker = {
        api: service.api,
        key: await register(service.api),
        speechMs: speechMs(defaultReply),
        form,
      }
      const taken: Array<{ readonly firstByteMs: number; readonly cpuMs: number }> = []
      while (taken.length < count) {
        const before = costOf(service.pid).ownMs
        const turn = await takeTurn(speaker)
        if (!isHeard(turn)) throw new Error(`A turn failed: ${turn.failure}`)
        taken.push({ firstByteMs: turn.firstByteMs, cpuMs: costOf(service.pid).ownMs - before })
      }
      return taken
    }
    // The upstream and this process are warm before the first start that counts. The database is migrated.
    const first = await startService(upstream.line, environment)
    const idle = await measureIdle(first)
    await takeTurns(first, turns)
    await first.stop()

    const measured: Array<Omit<StartFigures, keyof typeof idle>> = []
    while (measured.length < starts) {
      const begun = performance.now()
      const service = await startService(upstream.line, environment)
      const readyMs = performance.now() - begun
      await pause(beforeFirstMs)
      const taken = await takeTurns(service, turns)
      await service.stop()
      const later = taken.slice(80)
      measured.push({
        readyMs,
        firstTurnMs: taken[0]?.firstByteMs ?? 0,
        earlyTurnMs: median(taken.slice(1, 20).map(({ firstByteMs }) => firstByteMs)),
        laterTurnMs: median(later.map(({ firstByteMs }) => firstByteMs)),
        firstTurnCpuMs: taken[0]?.cpuMs ?? 0,
        laterTurnCpuMs: later.reduce((sum, { cpuMs }) => sum + cpuMs, 0) / later.length,
      })
    }
    const of = (name: keyof (typeof measured)[number]) => median(measured.map((each) => each[name]))
    return {
      ...idle,
      readyMs: of("readyMs"),
      firstTurnMs: of("firstTurnMs"),
      earlyTurnMs: of("earlyTurnMs"),
      laterTurnMs: of("laterTurnMs"),
      firstTurnCpuMs: of("firstTurnCpuMs"),
      laterTurnCpuMs: of("laterTurnCpuMs"),
    }
  } finally {
    await stopAll()
  }
}
