/** What the system knows of a process, from /proc (Linux). */
import { readdirSync, readFileSync, readlinkSync } from "node:fs"

export interface ProcessStat {
  readonly pid: number
  readonly name: string
  readonly parent: number
  /** Ended, but its exit code was not read yet. */
  readonly isZombie: boolean
}

/** Parses /proc/PID/stat. The name is in brackets, and may contain spaces and brackets. */
export const parseStat = (text: string): ProcessStat => {
  const open = text.indexOf("(")
  const close = text.lastIndexOf(")")
  const [state = "", parent = ""] = text.slice(close + 2).split(" ")
  return {
    pid: Number.parseInt(text, 10),
    name: text.slice(open + 1, close),
    parent: Number(parent),
    isZombie: state === "Z",
  }
}

export interface Connection {
  readonly localPort: number
  readonly remotePort: number
  readonly inode: string
}

/** TCP_ESTABLISHED in the kernel's list of TCP states. */
const established = "01"

const portOf = (address = "") => Number.parseInt(address.split(":")[1] ?? "", 16)

/** The established connections of /proc/PID/net/tcp or tcp6, which lists those of all processes. */
export const parseTcp = (text: string): ReadonlyArray<Connection> =>
  text
    .split("\n")
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , state]) => state === established)
    .map(([, local, remote, , , , , , , inode = ""]) => ({
      localPort: portOf(local),
      remotePort: portOf(remote),
      inode,
    }))

/** The inode of a socket, from the target of its descriptor: `socket:[12345]`. */
export const socketInode = (link: string): string | undefined => /^socket:\[(\d+)\]$/.exec(link)?.[1]

export interface Ports {
  /** The port of the service. */
  readonly own: number
  readonly upstream: number
  /** Of the server of the agents' tools. */
  readonly tools: number
}

export type Peer = "client" | "upstream" | "tools" | "database"

/** The kind of the other end. The service has no other connections. */
export const peerOf = ({ localPort, remotePort }: Connection, { own, upstream, tools }: Ports): Peer => {
  if (localPort === own) return "client"
  if (remotePort === tools) return "tools"
  return remotePort === upstream ? "upstream" : "database"
}

/** A process or file that ended before it was read counts as absent. */
const orNone = <A>(read: () => A, none: A): A => {
  try {
    return read()
  } catch {
    return none
  }
}

/** The targets of a process's file descriptors. */
export const openFiles = (pid: number): ReadonlyArray<string> =>
  readdirSync(`/proc/${pid}/fd`).map((fd) => orNone(() => readlinkSync(`/proc/${pid}/fd/${fd}`), ""))

export const childrenOf = (pid: number): ReadonlyArray<ProcessStat> =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((other) => orNone(() => [parseStat(readFileSync(`/proc/${other}/stat`, "utf8"))], []))
    .filter(({ parent }) => parent === pid)

/** The memory of a process in MB, in which a shared page counts in parts. NaN if it has ended or is another user's. */
export const proportionalMb = (pid: number): number =>
  orNone(() => {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8")
    return Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1]) / 1024
  }, Number.NaN)

/** The connections among these files, by the kind of the other end. */
export const connectionsOf = (
  pid: number,
  files: ReadonlyArray<string>,
  ports: Ports,
): Readonly<Record<Peer, number>> => {
  const own = new Set(files.map(socketInode))
  const counts = { client: 0, upstream: 0, tools: 0, database: 0 }
  for (const table of ["tcp", "tcp6"]) {
    const text = orNone(() => readFileSync(`/proc/${pid}/net/${table}`, "utf8"), "")
    for (const each of parseTcp(text)) if (own.has(each.inode)) counts[peerOf(each, ports)] += 1
  }
  return counts
}
