import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { makeDatabase, stopServer } from "../../../test/support/database.ts"
import { arrive } from "../load.ts"
import { type Probed, startProbe } from "../probing.ts"
import {
  isClosed,
  type Program,
  pause,
  startProgram,
  startService,
  stopAll,
  takeWarnings,
} from "../programs.ts"
import { makeAccounts } from "./account.ts"
import { makeInputs } from "./inputs.ts"
import { firstOfAll, makeMix, type Visit } from "./mix.ts"
import type { Options } from "./options.ts"
import { makeSampler, type Sample } from "./sample.ts"
import { inconsistencies } from "./stored.ts"
import type { Seen } from "./verdict.ts"
import { maxAudioMb, type Outcome, runVisit } from "./visits.ts"

/** The result of one run. */
export interface Run extends Seen {
  /** Before the first turn. */
  readonly started: Sample
  readonly outcomes: ReadonlyArray<Outcome>
  readonly health: Probed
  readonly ready: Probed
  /** Duration of the load. */
  readonly wallMs: number
}

/** Concurrent visits. A machine that carries the load has fewer. */
const mostAtATime = 64
const accounts = 24

/** Settings of the service. A request that hangs costs seconds only, and a turn fails only by its planned fault. */
const settings = {
  STT_TIMEOUT_SECONDS: "4",
  LLM_TIMEOUT_SECONDS: "4",
  TTS_TIMEOUT_SECONDS: "4",
  BREAKER_FAILURES: "0",
  MAX_AUDIO_SIZE_MB: `${maxAudioMb}`,
}

/** `port`: that of an earlier upstream, so that the service finds it again. */
const startUpstream = (seed: number, port = 0) =>
  startProgram(["scripts/bench/soak/upstream.ts", `${seed}`, `${port}`], {}, (line) =>
    line.startsWith("http"),
  )

const portOf = (url: string) => Number(new URL(url).port)

const describeSample = ({ seconds, residentMb, fibers, turns }: Sample, taken: number) =>
  `After ${seconds.toFixed(0)} s: ${taken} turns taken, ${turns} running, ${residentMb.toFixed(0)} MB, ${fibers} fibers`

/** Runs the soak and reports progress to `tell`. Ends everything that it started. */
export const soak = async (options: Options, tell: (line: string) => void): Promise<Run> => {
  const inputs = await makeInputs()
  await pause(0)
  // Before TMPDIR is set: the database's folder is not in it.
  const database = await makeDatabase()
  const folder = await mkdtemp(join(tmpdir(), "soak-"))
  try {
    const first = await startUpstream(options.seed)
    const service = await startService(first.line, {
      ...settings,
      DATABASE_URL: database.url,
      TMPDIR: folder,
    })
    const ports = { own: portOf(service.api), upstream: portOf(first.line) }
    const sample = makeSampler({ service, ports, folder })
    const place = { api: service.api, inputs }
    const outcomes: Array<Outcome> = []
    let turns = 0

    await pause(3000)
    const started = await sample()
    tell("Everything once")
    const users = await makeAccounts(service.api, accounts)
    const visit = async (one: Visit) => {
      try {
        const what = await users.use((account) => runVisit(place, account, one))
        turns += what.turns
        outcomes.push(what)
        for (const each of what.wrong) tell(`Wrong: ${each}`)
      } catch (error) {
        if (!isClosed()) users.wrong.push(`no response to an account that opens or leaves (${error})`)
      }
    }
    /** Stops the upstream, which closes the idle connections to it. */
    const rest = async (upstream: Program) => {
      await upstream.stop()
      tell(`At rest for ${options.restMs / 1000} s`)
      await pause(options.restMs)
      return sample()
    }
    await Promise.all(firstOfAll().map(visit))
    const before = await rest(first)
    const upstream = await startUpstream(options.seed, ports.upstream)
    const turnsBefore = turns

    const [health, ready] = [
      await startProbe(`${service.api}/health`),
      await startProbe(`${service.api}/ready`),
    ]
    const during: Array<Sample> = []
    const begun = performance.now()
    const { length, perSecond } = options
    const isOver = () =>
      isClosed() ||
      ("turns" in length ? turns - turnsBefore >= length.turns : performance.now() - begun >= length.ms)
    const watch = async () => {
      while (!isOver()) {
        const next = await sample()
        during.push(next)
        if (during.length % 30 === 0) tell(describeSample(next, turns - turnsBefore))
        await pause(begun + during.length * 1000 - performance.now())
      }
      return performance.now() - begun
    }
    const next = makeMix(options.seed)
    const arriving = arrive({ perSecond, mostAtATime }, () => visit(next()), isOver)
    // If the service ends, the run ends.
    const [wallMs] = await Promise.all([watch(), arriving])
    const probed = { health: await health(), ready: await ready() }
    const after = await rest(upstream)
    return {
      started,
      before,
      during,
      after,
      outcomes,
      wrong: [...outcomes.flatMap(({ wrong }) => wrong), ...users.wrong],
      inconsistencies: await inconsistencies(database.sql, users.answered()),
      defects: [...takeWarnings().keys()].filter((text) => text.startsWith("request.defect")),
      ...probed,
      turns: turns - turnsBefore,
      wallMs,
    }
  } finally {
    await stopAll()
    await database.drop()
    await stopServer()
    await rm(folder, { recursive: true, force: true })
  }
}
