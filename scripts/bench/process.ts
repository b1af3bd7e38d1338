import { readFileSync } from "node:fs"

/** What a process and its children cost so far. Linux only: read from /proc. */
export interface Cost {
  /** CPU of the process itself, in ms. */
  readonly ownMs: number
  /** CPU of the children that have ended (ffmpeg), in ms. */
  readonly childrenMs: number
  /** Resident memory now, in MB. */
  readonly rssMb: number
}

/** Linux's USER_HZ: the unit of CPU times in /proc, in ms. */
const tickMs = 10

export const costOf = (pid: number): Cost => {
  // The second field is the program's name in brackets, which may hold blanks.
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ").map(Number) ?? []
  const [user = 0, system = 0, childUser = 0, childSystem = 0] = fields.slice(11, 15)
  const rss = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "0"
  return {
    ownMs: (user + system) * tickMs,
    childrenMs: (childUser + childSystem) * tickMs,
    rssMb: Number(rss) / 1024,
  }
}

export interface Program {
  readonly pid: number
  readonly stop: () => Promise<void>
}

/** Starts a program of ours and waits until it has printed a line that `isReady` accepts, which it answers. */
export const startProgram = async (
  command: ReadonlyArray<string>,
  env: Record<string, string>,
  isReady: (line: string) => boolean,
): Promise<Program & { readonly line: string }> => {
  const child = Bun.spawn([process.execPath, ...command], {
    cwd: new URL("../..", import.meta.url).pathname,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  })
  const stop = async () => {
    child.kill("SIGTERM")
    await child.exited
  }
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader()
  let said = ""
  for (let next = await lines.read(); !next.done; next = await lines.read()) {
    said += next.value
    const line = said.split("\n").slice(0, -1).find(isReady)
    if (line === undefined) continue
    // Read on, so that the program never waits for a full pipe.
    const drain = async (): Promise<void> => ((await lines.read()).done ? undefined : drain())
    void drain()
    return { pid: child.pid, stop, line }
  }
  throw new Error(`${command.join(" ")} ended before it was ready: ${said}`)
}
