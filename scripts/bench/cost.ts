import { readFileSync } from "node:fs"

/** CPU and memory of a process and its children so far, from /proc (Linux). */
export interface Cost {
  /** CPU of the process itself, in ms. */
  readonly ownMs: number
  /** CPU of ended children (ffmpeg), in ms. PostgreSQL still runs and is not included. */
  readonly childrenMs: number
  /** Resident memory in MB, without the children. */
  readonly residentMb: number
}

/** Linux's USER_HZ: the unit of CPU times in /proc, in ms. */
const tickMs = 10

export const costOf = (pid: number): Cost => {
  // The second field is the program's name in brackets, which may contain spaces.
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ").map(Number) ?? []
  const [user = 0, system = 0, childUser = 0, childSystem = 0] = fields.slice(11, 15)
  const resident = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "0"
  return {
    ownMs: (user + system) * tickMs,
    childrenMs: (childUser + childSystem) * tickMs,
    residentMb: Number(resident) / 1024,
  }
}
