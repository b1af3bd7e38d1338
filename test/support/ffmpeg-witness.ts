/** The machine's ffmpeg behind a script that notes each start by the process id that ffmpeg then has. */
import { appendFileSync, chmodSync, existsSync, readFileSync, rmSync } from "node:fs"
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
  const log = join(folder, "ffmpeg-starts")
  const flag = join(folder, "ffmpeg-hangs")
  const real = Bun.which(process.env.FFMPEG_PATH ?? "ffmpeg")
  // Noted last, so that what is noted has passed the flag.
  await Bun.write(
    path,
    `#!/bin/sh
program=${real}
[ -e ${flag} ] && { program=${Bun.which("sleep")}; set -- 600; }
echo $$ >> ${log}
exec $program "$@"
`,
  )
  chmodSync(path, 0o755)
  const starts = () =>
    existsSync(log) ? readFileSync(log, "utf8").trim().split("\n").filter(Boolean).map(Number) : []
  const hangs = (yes: boolean) => (yes ? appendFileSync(flag, "") : rmSync(flag, { force: true }))
  const reset = () => {
    rmSync(log, { force: true })
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
