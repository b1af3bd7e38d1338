import { readdirSync } from "node:fs"
import { Schema } from "effect"
import { costOf } from "../cost.ts"
import type { Service } from "../programs.ts"
import type { Objects } from "./objects.ts"
import { childrenOf, connectionsOf, openFiles, type Ports, proportionalMb } from "./proc.ts"

/** What the service holds at one moment, as seen by the system and by the service itself. */
export interface Sample {
  /** Seconds since the first sample. */
  readonly seconds: number
  readonly residentMb: number
  /** Of the service's child processes together. */
  readonly childrenMb: number
  /** Of the database's server with all of its processes. */
  readonly postgresMb: number
  readonly files: number
  /** Including those that wait for a recording. */
  readonly ffmpegs: number
  readonly otherChildren: number
  readonly clients: number
  readonly upstream: number
  /** Connections to the server of the agents' tools. */
  readonly tools: number
  readonly database: number
  /** In TMPDIR. */
  readonly tempFiles: number

  readonly heapMb: number
  readonly externalMb: number
  readonly fibers: number
  readonly turns: number
}

const Status = Schema.parseJson(
  Schema.Struct({
    event: Schema.Literal("server.status"),
    heapMb: Schema.Number,
    externalMb: Schema.Number,
    fibers: Schema.Number,
    turns: Schema.Number,
  }),
)

const isStatus = (line: string) => line.includes('"event":"server.status"')

const Heap = Schema.parseJson(
  Schema.Struct({
    event: Schema.Literal("soak.heap"),
    objects: Schema.Record({ key: Schema.String, value: Schema.Number }),
  }),
)

/** Collects the service's garbage, so that the next sample is without it. Returns the objects that are left. */
export const collectGarbage = async ({ pid, says }: Service): Promise<Objects> => {
  const said = says((line) => line.includes('"event":"soak.heap"'))
  process.kill(pid, "SIGURG")
  return Schema.decodeUnknownSync(Heap)(await said).objects
}

export interface Watched {
  readonly service: Service
  readonly ports: Ports
  /** Its TMPDIR, which no other process uses. */
  readonly folder: string
  /** The process of the database's server. */
  readonly postgres: number
}

/** A process that ends meanwhile counts as none. */
const sumMb = (pids: ReadonlyArray<number>) => pids.reduce((sum, pid) => sum + (proportionalMb(pid) || 0), 0)

const isFfmpeg = ({ name }: { readonly name: string }) => name.startsWith("ffmpeg")

/** Reads what the system knows of the service, and gets the rest by SIGUSR2. */
export const makeSampler = ({ service, ports, folder, postgres }: Watched): (() => Promise<Sample>) => {
  const { pid } = service
  const begun = performance.now()
  return async () => {
    const said = service.says(isStatus)
    process.kill(pid, "SIGUSR2")
    const { heapMb, externalMb, fibers, turns } = Schema.decodeUnknownSync(Status)(await said)
    const files = openFiles(pid)
    const children = childrenOf(pid)
    const { client, upstream, tools, database } = connectionsOf(pid, files, ports)
    return {
      seconds: (performance.now() - begun) / 1000,
      residentMb: costOf(pid).residentMb,
      childrenMb: sumMb(children.map(({ pid }) => pid)),
      postgresMb: sumMb([postgres, ...childrenOf(postgres).map(({ pid }) => pid)]),
      files: files.length,
      ffmpegs: children.filter(isFfmpeg).length,
      otherChildren: children.filter((child) => !isFfmpeg(child)).length,
      clients: client,
      upstream,
      tools,
      database,
      tempFiles: readdirSync(folder, { recursive: true }).length,
      heapMb,
      externalMb,
      fibers,
      turns,
    }
  }
}
