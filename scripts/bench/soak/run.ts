import { mkdtemp, rm, symlink } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { SQL } from "bun"
import { makeDatabase, stopServer } from "../../../test/support/database.ts"
import { parentOf } from "../cost.ts"
import { arrive } from "../load.ts"
import { type Probed, startProbe } from "../probing.ts"
import {
  ffmpegOf,
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
import { firstOfAll, type Kind, makeMix, type Visit } from "./mix.ts"
import type { Options } from "./options.ts"
import { collectGarbage, makeSampler, type Sample } from "./sample.ts"
import type { Outcome } from "./scenario.ts"
import { inconsistencies } from "./stored.ts"
import { toolSettings } from "./tools.ts"
import { type LoadSample, lowest, type Seen } from "./verdict.ts"
import { maxAudioMb, runVisit } from "./visits.ts"

/** What became of the visits of one kind. */
export interface Visited {
  times: number
  /** How often their requests ended in this way. */
  readonly ends: Map<string, number>
}

/** The result of one run. */
export interface Run extends Seen {
  /** Before the first turn. */
  readonly started: Sample
  readonly visits: ReadonlyMap<Kind, Visited>
  readonly health: Probed
  readonly ready: Probed
  /** Duration of the load. */
  readonly wallMs: number
}

const accounts = 24

/** Settings of the service. A request that hangs costs seconds only, and a turn fails only by its planned fault. */
const settingsOf = ({ isFast, ffmpeg }: Options) => {
  // A machine that carries all it can is late itself.
  const timeout = isFast ? "10" : "4"
  return {
    STT_TIMEOUT_SECONDS: timeout,
    LLM_TIMEOUT_SECONDS: timeout,
    TTS_TIMEOUT_SECONDS: timeout,
    BREAKER_FAILURES: "0",
    MAX_AUDIO_SIZE_MB: `${maxAudioMb}`,
    ...toolSettings,
    ...ffmpegOf(ffmpeg),
  }
}

/** `ports`: those of an earlier upstream, so that the service finds it again. */
const startUpstream = ({ seed, isFast }: Options, ports = { upstream: 0, tools: 0 }) =>
  startProgram(
    [
      "scripts/bench/soak/upstream.ts",
      ...[seed, ports.upstream, ports.tools].map(String),
      isFast ? "at-once" : "paced",
    ],
    {},
    (line) => line.startsWith("http"),
  )

const portOf = (url: string) => Number(new URL(url).port)

/** The server's process: the parent of the one that serves this connection. */
const postgresOf = async (sql: SQL): Promise<number> => {
  const [{ pid }] = await sql`select pg_backend_pid() as pid`
  return parentOf(Number(pid))
}

/** Tests turn it off. Without it a table with 100,000 turns has a hundred times as many dead rows. */
const turnVacuumOn = async (sql: SQL) => {
  await sql.unsafe("alter system set autovacuum = on")
  await sql`select pg_reload_conf()`
}

const describeSample = (sample: LoadSample) =>
  [
    `${sample.taken} turns in ${sample.seconds.toFixed(0)} s, ${sample.turns} running`,
    `resident ${sample.residentMb.toFixed(0)} MB, heap ${sample.heapMb.toFixed(0)} and external ${sample.externalMb.toFixed(0)}, children ${sample.childrenMb.toFixed(0)}, PostgreSQL ${sample.postgresMb.toFixed(0)}`,
    `${sample.files} files, ${sample.clients} clients, ${sample.upstream} to providers, ${sample.tools} to tools, ${sample.database} to the database`,
    `${sample.ffmpegs} ffmpeg, ${sample.otherChildren} other children, ${sample.tempFiles} temporary files, ${sample.fibers} fibers`,
  ].join("; ")

/** At rest the service still asks the database for work, every few seconds, with fibers for a moment. */
const [restSamples, restSampleMs] = [5, 500]

const note = (visits: Map<Kind, Visited>, { kind, ends }: Outcome) => {
  const visited = visits.get(kind) ?? { times: 0, ends: new Map() }
  visited.times += 1
  for (const end of ends) visited.ends.set(end, (visited.ends.get(end) ?? 0) + 1)
  visits.set(kind, visited)
}

/** Runs the soak and reports progress to `tell`. Ends everything that it started. */
export const soak = async (options: Options, tell: (line: string) => void): Promise<Run> => {
  const inputs = await makeInputs()
  await pause(0)
  // Before TMPDIR is set: the database's folder is not in it.
  const database = await makeDatabase()
  const [folder, data] = [await mkdtemp(join(tmpdir(), "soak-")), await mkdtemp(join(tmpdir(), "soak-data-"))]
  // With Silero, as in production. Nothing else of the checkout's data is used.
  await symlink(join(import.meta.dir, "../../../.data/models"), join(data, "models"))
  try {
    await turnVacuumOn(database.sql)
    const first = await startUpstream(options)
    const [baseUrl = "", toolUrl = ""] = first.line.split(" ")
    const service = await startService(
      baseUrl,
      {
        ...settingsOf(options),
        DATABASE_URL: database.url,
        DATA_DIR: data,
        TMPDIR: folder,
      },
      ["--preload", "./scripts/bench/soak/heap-probe.ts"],
    )
    const ports = { own: portOf(service.api), upstream: portOf(baseUrl), tools: portOf(toolUrl) }
    const postgres = await postgresOf(database.sql)
    const sample = makeSampler({ service, ports, folder, postgres })
    const place = { api: service.api, inputs, toolUrl }
    const visits = new Map<Kind, Visited>()
    const wrong: Array<string> = []
    let turns = 0

    await pause(3000)
    const started = await sample()
    tell("Everything once")
    const users = await makeAccounts(service.api, accounts)
    const visit = async (one: Visit) => {
      try {
        const what = await users.use((account) => runVisit(place, account, one))
        turns += what.turns
        note(visits, what)
        wrong.push(...what.wrong)
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
      const objects = await collectGarbage(service)
      const samples: Array<Sample> = []
      for (let taken = 0; taken < restSamples; taken += 1) {
        samples.push(await sample())
        await pause(restSampleMs)
      }
      return { objects, sample: lowest(samples) }
    }
    await Promise.all(firstOfAll().map(visit))
    const before = await rest(first)
    const upstream = await startUpstream(options, ports)
    const turnsBefore = turns

    const [health, ready] = [
      await startProbe(`${service.api}/health`),
      await startProbe(`${service.api}/ready`),
    ]
    const during: Array<LoadSample> = []
    let told = 0
    const begun = performance.now()
    const { length, perSecond, mostAtATime } = options
    const isOver = () =>
      isClosed() ||
      ("turns" in length ? turns - turnsBefore >= length.turns : performance.now() - begun >= length.ms)
    const watch = async () => {
      while (!isOver()) {
        const next = { ...(await sample()), taken: turns - turnsBefore }
        during.push(next)
        if (next.taken >= told + options.every) {
          told = next.taken - (next.taken % options.every)
          tell(describeSample(next))
        }
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
      before: before.sample,
      during,
      after: after.sample,
      objects: { before: before.objects, after: after.objects },
      visits,
      wrong: [...wrong, ...users.wrong],
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
    for (const each of [folder, data]) await rm(each, { recursive: true, force: true })
  }
}
