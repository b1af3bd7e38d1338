import { Duration, Effect, Either } from "effect"
import type { Settings } from "../../config.ts"
import { isInstalled } from "../../ffmpeg/ffmpeg.ts"
import { probeFfmpeg } from "../../ffmpeg/probe.ts"
import { hostBounds, makeStartFfmpeg } from "../../ffmpeg/sandbox.ts"
import { ok, problem, warning } from "./finding.ts"

const check = "ffmpeg"

/** Healthy machines take 60 to 130 ms. Without a warm ffmpeg each turn waits for the start. */
const slowStartMs = 500

/** Whether ffmpeg works, and how long it takes to start. */
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
      `${found}, without a memory limit: there is no prlimit`,
      "If strangers can upload, run the service on Linux (apt-get install util-linux).",
    )
  }
  if (ms < slowStartMs || ffmpegWarm > 0) return ok(check, found)
  return warning(check, found, "Set FFMPEG_WARM=2, so that turns do not wait for the start.")
})
