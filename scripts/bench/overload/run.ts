import { formOf, isHeard, type Outcome, type Speaker, takeTurn } from "../client.ts"
import { costOf } from "../cost.ts"
import { defaultReply, hosted, speechMs } from "../latency.ts"
import { arrive, takeSteadily, takeTogether } from "../load.ts"
import { startProbe } from "../probing.ts"
import { register, type Service, startService, startUpstream, stopAll } from "../programs.ts"
import { makeRecordings } from "../recordings.ts"
import { median } from "../statistics.ts"
import { type Figures, figuresOf } from "./figures.ts"
import type { Options } from "./options.ts"
import type { Loads } from "./verdict.ts"

/** Enough users that none reaches MAX_TURNS_PER_USER. */
const users = 100

/** With this many clients nothing waits. */
const calmClients = 4

/** Between two samples of the memory, in ms. */
const lookMs = 200

/** Observes the service while `load` runs. */
const measure = async (
  { api, pid }: Service,
  name: string,
  load: () => Promise<ReadonlyArray<Outcome>>,
): Promise<Figures> => {
  const [health, ready] = [await startProbe(`${api}/health`), await startProbe(`${api}/ready`)]
  let peakMb = 0
  const looking = setInterval(() => {
    peakMb = Math.max(peakMb, costOf(pid).residentMb)
  }, lookMs)
  const before = costOf(pid).ownMs
  const started = performance.now()
  try {
    const outcomes = await load()
    const wallMs = performance.now() - started
    return figuresOf(
      {
        load: name,
        wallMs,
        ownCpu: (costOf(pid).ownMs - before) / wallMs,
        peakMb,
        health: await health(),
        ready: await ready(),
      },
      outcomes,
    )
  } finally {
    clearInterval(looking)
  }
}

/** Runs all loads one after the other on one service. `onRow` gets each row as it is measured. */
export const overload = async (
  { times, ms, maxTurns }: Options,
  onRow: (row: Figures) => void,
): Promise<Loads> => {
  try {
    const upstream = await startUpstream(hosted, defaultReply)
    const service = await startService(upstream.line, { MAX_TURNS: `${maxTurns}` })
    const { WAV } = await makeRecordings()
    const common = { api: service.api, form: formOf(WAV), speechMs: speechMs(defaultReply) }
    const keys = await Promise.all(Array.from({ length: users }, () => register(service.api)))
    const speakers = keys.map((key): Speaker => ({ ...common, key }))
    let next = 0
    const turn = (): Promise<Outcome> => {
      const speaker = speakers[next % speakers.length]
      next += 1
      if (speaker === undefined) throw new Error("There are no clients.")
      return takeTurn(speaker)
    }
    // Warm-up: until the runtime has compiled the hot code.
    const warm = await takeTogether(maxTurns, 3, turn)
    const spreadMs = median(warm.counted.filter(isHeard).map(({ lastByteMs }) => lastByteMs))
    if (Number.isNaN(spreadMs)) throw new Error(`All turns fail: ${JSON.stringify(warm.counted[0])}`)

    const row = async (name: string, load: () => Promise<ReadonlyArray<Outcome>>) => {
      const figures = await measure(service, name, load)
      onRow(figures)
      return figures
    }
    const steady = (clients: number) => async () => {
      const taken = await takeSteadily({ clients, spreadMs, least: { turns: clients, ms } }, turn)
      return [...taken.counted, ...taken.others]
    }
    const calm = await row(`${calmClients} clients`, steady(calmClients))
    const full = await row(`${maxTurns} clients, which is MAX_TURNS`, steady(maxTurns))
    const perSecond = full.turnsPerSecond * times
    const over = await row(`${perSecond.toFixed(0)} new turns a second, ${times} times as many`, async () => {
      const outcomes: Array<Outcome> = []
      const started = performance.now()
      const one = async () => {
        outcomes.push(await turn())
      }
      const arrivals = { perSecond, mostAtATime: Number.POSITIVE_INFINITY }
      await arrive(arrivals, one, () => performance.now() - started >= ms)
      return outcomes
    })
    const afterwards = await row(`${calmClients} clients afterwards`, steady(calmClients))
    return { calm, full, over, afterwards }
  } finally {
    await stopAll()
  }
}
