/**
 * The machine's ffmpeg behind a script that notes each start by the process id that ffmpeg then has, but for that which
 * only asks whether it runs.
 */
import { appendFileSync, chmodSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs"
import { join } from "node:path"

export interface FfmpegWitness {
  /** For FFMPEG_PATH. */
  readonly path: string
  /** The process ids of all ffmpegs started since the last reset. */
  readonly starts: () => ReadonlyArray<number>
  /** Those of them that have not ended. */
  readonly alive: () => ReadonlyArray<number>
  /** From now on an ffmpeg that starts never ends by itself, or does again. */
  readonly hangs: (hangs: boolean) => void
  readonly reset: () => void
}

export const witnessFfmpeg = async (folder: string): Promise<FfmpegWitness> => {
  const path = join(folder, "ffmpeg")
  // An empty file for each: the service lets nothing be written into one.
  const notes = join(folder, "ffmpeg-starts")
  mkdirSync(notes)
  const flag = join(folder, "ffmpeg-hangs")
  const real = Bun.which(process.env.FFMPEG_PATH ?? "ffmpeg")
  // Noted last, so that what is noted has passed the flag.
  await Bun.write(
    path,
    `#!/bin/sh
program=${real}
case "$*" in *-version) exec $program "$@" ;; esac
[ -e ${flag} ] && { program=${Bun.which("sleep")}; set -- 600; }
: > ${notes}/$$
exec $program "$@"
`,
  )
  chmodSync(path, 0o755)
  const startedAt = (pid: number) =>
    statSync(join(notes, `${pid}`), { bigint: true, throwIfNoEntry: false })?.mtimeNs ?? 0n
  const starts = () =>
    readdirSync(notes)
      .map((name) => ({ pid: Number(name), at: startedAt(Number(name)) }))
      .toSorted((one, other) => Number(one.at - other.at) || one.pid - other.pid)
      .map(({ pid }) => pid)
  const hangs = (yes: boolean) => (yes ? appendFileSync(flag, "") : rmSync(flag, { force: true }))
  const reset = () => {
    for (const name of readdirSync(notes)) rmSync(join(notes, name), { force: true })
    hangs(false)
  }
  return { path, starts, alive: () => starts().filter(isAlive), hangs, reset }
}

export const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
