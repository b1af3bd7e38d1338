import { readdirSync } from "node:fs"
import { Schema } from "effect"
import { costOf } from "../cost.ts"
import type { Service } from "../programs.ts"
import { childrenOf, connectionsOf, openFiles, type Ports } from "./proc.ts"

/** What the service has in hand at one moment: the first line by the system's account, the second by its own. */
export interface Sample {
  /** Since the first sample. */
  readonly seconds: number
  readonly residentMb: number
  readonly files: number
  /** Those that wait for a recording among them. */
  readonly ffmpegs: number
  readonly otherChildren: number
  readonly clients: number
  readonly upstream: number
  readonly database: number
  /** In the folder for uploads. */
  readonly tempFiles: number

  readonly heapMb: number
  readonly externalMb: number
  readonly fibres: number
  readonly turns: number
}

const Status = Schema.parseJson(
  Schema.Struct({
    event: Schema.Literal("server.status"),
    heapMb: Schema.Number,
    externalMb: Schema.Number,
    fibres: Schema.Number,
    turns: Schema.Number,
  }),
)

const isStatus = (line: string) => line.includes('"event":"server.status"')

export interface Watched {
  readonly service: Service
  readonly ports: Ports
  /** Its TMPDIR, which is nobody else's. */
  readonly folder: string
}

/** Looks at the service from outside, and has it say the rest. */
export const makeSampler = ({ service, ports, folder }: Watched): (() => Promise<Sample>) => {
  const { pid } = service
  const begun = performance.now()
  return async () => {
    const said = service.says(isStatus)
    process.kill(pid, "SIGUSR2")
    const { heapMb, externalMb, fibres, turns } = Schema.decodeUnknownSync(Status)(await said)
    const files = openFiles(pid)
    const children = childrenOf(pid)
    const { client, upstream, database } = connectionsOf(pid, files, ports)
    return {
      seconds: (performance.now() - begun) / 1000,
      residentMb: costOf(pid).residentMb,
      files: files.length,
      ffmpegs: children.filter(({ name }) => name === "ffmpeg").length,
      otherChildren: children.filter(({ name }) => name !== "ffmpeg").length,
      clients: client,
      upstream,
      database,
      tempFiles: readdirSync(folder, { recursive: true }).length,
      heapMb,
      externalMb,
      fibres,
      turns,
    }
  }
}
