import { chmod, mkdir } from "node:fs/promises"
import { join } from "node:path"
import { imageFfmpeg } from "../ffmpeg.ts"

/** The first arguments of every ffmpeg that the service starts for audio. */
const ofService = "-nostdin -hide_banner -v error -timelimit"

/**
 * Writes a program `ffmpeg` into this folder, which it makes, and returns the folder, for PATH. The program prints the
 * version of the machine's ffmpeg, which services ask for at their start, and becomes that ffmpeg for all other arguments.
 * Debian's needs 0.05 s of CPU to load its 200 libraries, so the service's audio goes to the image's, where it was built, but for
 * sounds that a test makes up.
 */
export const writeQuickFfmpeg = async (folder: string): Promise<string> => {
  await mkdir(folder)
  const real = Bun.which("ffmpeg")
  if (real === null) return folder
  const child = Bun.spawn([real, "-version"], { stdin: "ignore", stdout: "pipe", stderr: "ignore" })
  const [version = ""] = (await child.stdout.text()).split("\n")
  const path = join(folder, "ffmpeg")
  await Bun.write(
    path,
    `#!/bin/sh
case "$*" in
*' lavfi '*) ;;
*-version) printf '%s\\n' '${version.replaceAll("'", "")}'; exit ;;
'${ofService} '*) exec '${(await imageFfmpeg()) ?? real}' "$@" ;;
esac
exec '${real}' "$@"
`,
  )
  await chmod(path, 0o755)
  return folder
}
