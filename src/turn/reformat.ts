import { Effect } from "effect"
import type { SpokenFormat } from "./speak.ts"

/** ffmpeg's words for each: how it is told in, and how it is made. */
const told = {
  mp3: ["-f", "mp3"],
  pcm: ["-f", "s16le", "-ar", "24000", "-ac", "1"],
} as const

/**
 * Speech of ours, made for a listener of the one format, for one of the other. It has gone through the joiner before, so
 * that ffmpeg can't fail on it but by a defect.
 */
export const reformat = (
  ffmpegPath: string,
  speech: Uint8Array,
  from: SpokenFormat,
  to: SpokenFormat,
): Effect.Effect<Uint8Array> => {
  if (from === to) return Effect.succeed(speech)
  const quiet = ["-nostdin", "-hide_banner", "-v", "error", "-threads", "1"]
  const command = [ffmpegPath, ...quiet, ...told[from], "-i", "pipe:0", ...told[to], "pipe:1"]
  return Effect.acquireUseRelease(
    Effect.sync(() =>
      Bun.spawn(command, {
        stdin: Buffer.from(speech),
        stdout: "pipe",
        stderr: "ignore",
        env: {},
        detached: true,
      }),
    ),
    (child) =>
      Effect.promise(async () => {
        const [bytes, code] = await Promise.all([new Response(child.stdout).bytes(), child.exited])
        if (code !== 0) throw new Error(`ffmpeg ended with ${code}`)
        return bytes
      }),
    (child) =>
      Effect.promise(() => {
        child.kill("SIGKILL")
        return child.exited
      }),
  )
}
