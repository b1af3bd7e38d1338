import { Duration, Effect, Either } from "effect"
import type { Settings } from "../../config.ts"
import { isInstalled } from "../../ffmpeg/ffmpeg.ts"
import { probeFfmpeg } from "../../ffmpeg/probe.ts"
import { hostBounds, makeStartFfmpeg } from "../../ffmpeg/sandbox.ts"
import { ok, problem, warning } from "./finding.ts"

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
  const [took, tried] = yield* Effect.timed(Effect.either(probeFfmpeg(makeStartFfmpeg(ffmpegPath))))
  if (Either.isLeft(tried)) {
    return problem(
      check,
      `"${ffmpegPath}" does not run here: ${tried.left}`,
      "Install another, or set FFMPEG_PATH.",
    )
  }
  const ms = Math.round(Duration.toMillis(took))
  const found = `${tried.right}, starts in ${ms} ms`
  if (hostBounds().prlimit === null) {
    return warning(
      check,
      `${found}, without bounds on its memory: there is no prlimit`,
      "Where strangers upload, run the service on Linux (apt-get install util-linux).",
    )
  }
  if (ms < slowStartMs || ffmpegWarm > 0) return ok(check, found)
  return warning(check, found, "Set FFMPEG_WARM=2, so that a turn does not wait for that.")
})
