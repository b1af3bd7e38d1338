import { Effect } from "effect"
import type { Settings } from "../../config.ts"
import { boundsHere, confined } from "../../turn/confinement.ts"
import { isInstalled } from "../../turn/ffmpeg.ts"
import { ok, problem, warning, wordsOf } from "./finding.ts"

const check = "ffmpeg"

/** In ms. Starts of healthy machines take 60 to 130; without one in waiting a turn would be late by this. */
const slowStartMs = 500

/** Whether recordings can be decoded, and what a start costs. */
export const checkFfmpeg = Effect.fn("doctor.ffmpeg")(function* ({
  ffmpegPath,
  ffmpegWarm,
}: Settings["Type"]) {
  if (!isInstalled(ffmpegPath)) {
    return problem(
      check,
      `there is no "${ffmpegPath}"`,
      "Install it (apt-get install ffmpeg, brew install ffmpeg), or set FFMPEG_PATH.",
    )
  }
  return yield* Effect.tryPromise(async (signal) => {
    const startedAt = performance.now()
    const child = Bun.spawn([...confined(ffmpegPath), "-version"], {
      stdout: "pipe",
      stderr: "pipe",
      env: {},
      signal,
    })
    const [said, code] = await Promise.all([child.stdout.text(), child.exited])
    const ms = Math.round(performance.now() - startedAt)
    const version = /^ffmpeg version (\S+)/.exec(said)?.[1]
    if (code !== 0 || version === undefined) {
      return problem(
        check,
        `"${ffmpegPath}" is no ffmpeg that runs here`,
        "Install another, or set FFMPEG_PATH.",
      )
    }
    const found = `${version}, starts in ${ms} ms`
    if (boundsHere().prlimit === null) {
      return warning(
        check,
        `${found}, without bounds on its memory: there is no prlimit`,
        "Where strangers upload, run the service on Linux (apt-get install util-linux).",
      )
    }
    if (ms < slowStartMs || ffmpegWarm > 0) return ok(check, found)
    return warning(check, found, "Set FFMPEG_WARM=2, so that a turn does not wait for that.")
  }).pipe(
    Effect.timeout("10 seconds"),
    Effect.catchAll((error) =>
      Effect.succeed(
        problem(
          check,
          `"${ffmpegPath}" did not start: ${wordsOf(error._tag === "UnknownException" ? error.error : error)}`,
          "Install another, or set FFMPEG_PATH.",
        ),
      ),
    ),
  )
})
