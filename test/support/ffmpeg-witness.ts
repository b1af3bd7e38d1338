/**
 * The machine's ffmpeg behind a script that records the process id of each start, except for the probe at the start of
 * the service.
 */
import { appendFileSync, chmodSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs"
import { join } from "node:path"
import { processExists } from "../../src/process.ts"

export interface FfmpegWitness {
  /** For FFMPEG_PATH. */
  readonly path: string
  /** The process ids of all ffmpeg processes since the last reset. */
  readonly starts: () => ReadonlyArray<number>
  /** Those that have not ended. */
  readonly alive: () => ReadonlyArray<number>
  /** Whether ffmpeg processes started from now on hang. */
  readonly hangs: (hangs: boolean) => void
  readonly reset: () => void
}

export const witnessFfmpeg = async (folder: string): Promise<FfmpegWitness> => {
  const path = join(folder, "ffmpeg")
  // An empty file for each start: the sandbox forbids writing into a file.
  const notes = join(folder, "ffmpeg-starts")
  mkdirSync(notes)
  const flag = join(folder, "ffmpeg-hangs")
  const real = Bun.which(process.env.FFMPEG_PATH ?? "ffmpeg")
  // Recorded last, so that a recorded start has already read the flag.
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
  return { path, starts, alive: () => starts().filter(processExists), hangs, reset }
}
