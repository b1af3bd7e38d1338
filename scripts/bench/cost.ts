import { readdirSync, readFileSync } from "node:fs"

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

/** The fields of /proc/PID/stat after the program's name, which is in brackets and may contain spaces. */
const statOf = (pid: number) => readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? []

/** The process that started this one. */
export const parentOf = (pid: number): number => Number(statOf(pid)[1])

const childrenOf = (pid: number): ReadonlyArray<number> =>
  readdirSync("/proc")
    .map(Number)
    .filter((each) => {
      try {
        return each > 0 && parentOf(each) === pid
      } catch {
        // It has ended.
        return false
      }
    })

/** CPU of a process and of all its children, ended or running, in ms. */
export const familyCpuMs = (pid: number): number => {
  const { ownMs, childrenMs } = costOf(pid)
  return childrenOf(pid).reduce((sum, child) => sum + costOf(child).ownMs, ownMs + childrenMs)
}

/** CPU of a process and of all processes below it, ended or running, in ms. */
export const treeCpuMs = (pid: number): number => {
  const { ownMs, childrenMs } = costOf(pid)
  return childrenOf(pid).reduce((sum, child) => sum + treeCpuMs(child), ownMs + childrenMs)
}

export const costOf = (pid: number): Cost => {
  const [user = 0, system = 0, childUser = 0, childSystem = 0] = statOf(pid).slice(11, 15).map(Number)
  const resident = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "0"
  return {
    ownMs: (user + system) * tickMs,
    childrenMs: (childUser + childSystem) * tickMs,
    residentMb: Number(resident) / 1024,
  }
}
