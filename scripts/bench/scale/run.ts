import { SQL } from "bun"
import { startOwnPostgres } from "../../../test/support/postgres.ts"
import { startTcpProxy } from "../../../test/support/tcp-proxy.ts"
import { formOf, isHeard, type Outcome, type Speaker, takeTurn } from "../client.ts"
import { costOf, familyCpuMs, parentOf } from "../cost.ts"
import { atOnce, speechMs } from "../latency.ts"
import { takeSteadily } from "../load.ts"
import { register, type Service, startService, startUpstream, stopAll } from "../programs.ts"
import { makeRecordings } from "../recordings.ts"
import { percentile } from "../statistics.ts"

/** Several processes under as much load as the machine carries. CPU in ms per turn. */
export interface Row {
  readonly processes: number
  readonly clients: number
  readonly turns: number
  readonly failed: number
  readonly turnsPerSecond: number
  readonly lastByteMs: { readonly p50: number; readonly p95: number }
  /** Of all processes of the service together. */
  readonly serviceCpuMs: number
  readonly databaseCpuMs: number
  /** Of the upstream and the clients. */
  readonly benchCpuMs: number
  /** Written to PostgreSQL's log of changes, in bytes per turn. */
  readonly walBytes: number
}

/** What one turn asks of the database. */
export interface Traffic {
  readonly statements: number
  /** In both directions, with those of the protocol. */
  readonly bytes: number
  /** By which the database grows, with its indexes. */
  readonly storedBytes: number
  /** The statements of a turn, shortened, with how often they come. */
  readonly kinds: ReadonlyMap<string, number>
}

export interface Options {
  /** How long each row is measured at least, in ms. */
  readonly ms: number
  readonly clients: number
  readonly reply: string
}

const processCounts = [1, 2, 3]

/** Turns of which the database's traffic is counted. */
const countedTurns = 20

const speakerOf = async ({ api }: Service, key: string, form: Blob, reply: string): Promise<Speaker> => ({
  api,
  key,
  form,
  speechMs: speechMs(reply),
})

/** The process that all processes of the database descend from. */
const postmasterOf = async (sql: SQL) => {
  const [row] = await sql`select pid from pg_stat_activity where backend_type = 'checkpointer'`
  return parentOf(Number(row.pid))
}

const walBytesOf = async (sql: SQL) => {
  const [row] = await sql`select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8 as bytes`
  return Number(row.bytes)
}

const databaseBytesOf = async (sql: SQL) => {
  const [row] = await sql`select pg_database_size(current_database())::float8 as bytes`
  return Number(row.bytes)
}

const measureRow = async (
  processes: number,
  speakers: ReadonlyArray<Speaker>,
  { ms, clients }: Options,
  read: () => Promise<{ service: number; database: number; bench: number; wal: number }>,
): Promise<Row> => {
  let next = 0
  const turn = (): Promise<Outcome> => {
    const speaker = speakers[next++ % speakers.length]
    if (speaker === undefined) throw new Error("There is no process.")
    return takeTurn(speaker)
  }
  const before = await read()
  const { counted, others, wallMs } = await takeSteadily(
    { clients, spreadMs: 0, least: { turns: clients * 4, ms } },
    turn,
  )
  const after = await read()
  const turns = counted.length + others.length
  const heard = counted.filter(isHeard).map(({ lastByteMs }) => lastByteMs)
  return {
    processes,
    clients,
    turns,
    failed: counted.length - heard.length + others.filter((each) => !isHeard(each)).length,
    turnsPerSecond: (turns * 1000) / wallMs,
    lastByteMs: { p50: percentile(heard, 0.5), p95: percentile(heard, 0.95) },
    serviceCpuMs: (after.service - before.service) / turns,
    databaseCpuMs: (after.database - before.database) / turns,
    benchCpuMs: (after.bench - before.bench) / turns,
    walBytes: (after.wal - before.wal) / turns,
  }
}

/** The beginning of a statement: enough to know it by. */
const kindOf = (statement: string) => statement.replaceAll(/\s+/g, " ").trim().slice(0, 60)

/** One, two and three processes on one PostgreSQL, with an upstream that answers at once, and the traffic of one turn. */
export const measureScale = async (
  options: Options,
  onRow: (row: Row) => void,
): Promise<{ readonly rows: ReadonlyArray<Row>; readonly traffic: Traffic }> => {
  const postgres = await startOwnPostgres({ isDurable: true })
  const sql = new SQL(postgres.url, { max: 1 })
  try {
    const upstream = await startUpstream(atOnce, options.reply)
    const form = formOf((await makeRecordings()).WAV)
    const start = (url = postgres.url) => startService(upstream.line, { DATABASE_URL: url })
    const services: Array<Service> = [await start()]
    const [first] = services
    if (first === undefined) throw new Error("There is no process.")
    const key = await register(first.api)
    const postmaster = await postmasterOf(sql)
    const read = async () => {
      const { user, system } = process.cpuUsage()
      return {
        service: services.reduce((sum, { pid }) => sum + familyCpuMs(pid), 0),
        database: familyCpuMs(postmaster),
        bench: costOf(upstream.pid).ownMs + (user + system) / 1000,
        wal: await walBytesOf(sql),
      }
    }
    const rows: Array<Row> = []
    const emptyBytes = await databaseBytesOf(sql)
    let taken = 0
    for (const processes of processCounts) {
      while (services.length < processes) services.push(await start())
      const speakers = await Promise.all(
        services.map((service) => speakerOf(service, key, form, options.reply)),
      )
      // The runtime compiles the hot code within about a hundred turns.
      taken += (await measureRow(processes, speakers, { ...options, ms: options.ms / 2 }, read)).turns
      const row = await measureRow(processes, speakers, options, read)
      rows.push(row)
      taken += row.turns
      onRow(row)
    }
    const storedBytes = ((await databaseBytesOf(sql)) - emptyBytes) / taken
    const proxy = await startTcpProxy(postgres.url)
    try {
      const watched = await start(proxy.url)
      const speaker = await speakerOf(watched, key, form, options.reply)
      await takeTurn(speaker)
      proxy.forget()
      for (let i = 0; i < countedTurns; i += 1) await takeTurn(speaker)
      const kinds = Map.groupBy(proxy.statements(), kindOf)
      const traffic = {
        statements: proxy.statements().length / countedTurns,
        bytes: proxy.bytes() / countedTurns,
        storedBytes,
        kinds: new Map(Array.from(kinds, ([kind, all]) => [kind, all.length / countedTurns])),
      }
      await watched.stop()
      return { rows, traffic }
    } finally {
      await proxy.stop()
    }
  } finally {
    await stopAll()
    await sql.close()
    await postgres.stop()
  }
}
