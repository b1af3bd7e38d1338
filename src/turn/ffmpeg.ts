import { Duration, Effect, Layer, Schema } from "effect"
import { Settings } from "../config.ts"
import { InvalidAudio } from "./errors.ts"
import type { Recording } from "./validate.ts"

/** There is no ffmpeg to run. */
export class FfmpegMissing extends Schema.TaggedError<FfmpegMissing>()("FfmpegMissing", {
  message: Schema.String,
}) {}

/** The settings of the same names. */
export interface FfmpegSettings {
  readonly ffmpegPath: string
  readonly maxAudioSeconds: number
}

/** Hz, of what speech recognition hears best. */
export const sampleRate = 16_000
export const bytesPerSecond = sampleRate * 2

const timeout = Duration.seconds(20)

export const isInstalled = (ffmpegPath: string) => Bun.which(ffmpegPath) !== null

/** Refuses to start without ffmpeg: the first turn would be too late to learn that. */
export const layer = Layer.effectDiscard(
  Effect.flatMap(Settings, ({ ffmpegPath }) =>
    isInstalled(ffmpegPath)
      ? Effect.void
      : new FfmpegMissing({
          message: `There is no ffmpeg at "${ffmpegPath}": install it (apt-get install ffmpeg, brew install ffmpeg), or set FFMPEG_PATH.`,
        }),
  ),
)

/**
 * Decodes the recording's first audio track into the turn's folder. The upload is data, never instructions: the one
 * demuxer is named, nothing but plain files is opened, memory, CPU time and output are bounded, and what is past the
 * limit by a second is not decoded. Answers the path of a 16 kHz mono 16-bit WAV; fails with InvalidAudio where nothing
 * decodes, or not within 20 s.
 */
export const decode = Effect.fn("decode")(function* (recording: Recording, settings: FfmpegSettings) {
  const { upload, demuxer } = recording
  const output = `${upload.folder}/speech.wav`
  // Cover art is decoded while the file is probed, whatever is asked of it: 16,000 pixels square take 780 MB.
  const opened = ["-max_pixels", "1000000", "-protocol_whitelist", "file", "-f", demuxer]
  const track = ["-map", "0:a:0", "-vn", "-sn", "-dn", "-map_metadata", "-1", "-fflags", "+bitexact"]
  // -t counts timestamps, which a file may repeat or skip: they are made anew, from the samples.
  const seconds = settings.maxAudioSeconds + 1
  const anew = ["-af", "asetpts=N/SR/TB"]
  const bounds = ["-threads", "1", "-t", `${seconds}`, "-fs", `${Math.ceil(seconds * bytesPerSecond) + 4096}`]
  const target = ["-ac", "1", "-ar", `${sampleRate}`, "-c:a", "pcm_s16le", "-f", "wav", `file:${output}`]
  const command = [
    settings.ffmpegPath,
    "-nostdin",
    "-hide_banner",
    "-v",
    "error",
    "-timelimit",
    `${Duration.toSeconds(timeout)}`,
    ...opened,
    "-i",
    `file:${upload.path}`,
    ...track,
    ...anew,
    ...bounds,
    ...target,
  ]
  const { code, said } = yield* Effect.acquireUseRelease(
    Effect.sync(() =>
      Bun.spawn(command, { cwd: upload.folder, stdin: "ignore", stdout: "ignore", stderr: "pipe", env: {} }),
    ),
    (child) =>
      Effect.promise(async () => {
        const [said, code] = await Promise.all([new Response(child.stderr).text(), child.exited])
        return { code, said }
      }),
    (child) =>
      Effect.promise(() => {
        child.kill("SIGKILL")
        return child.exited
      }),
  ).pipe(
    Effect.timeoutFail({
      duration: timeout,
      onTimeout: () => new InvalidAudio({ reason: `not decoded within ${Duration.toSeconds(timeout)} s` }),
    }),
  )
  if (code !== 0)
    return yield* new InvalidAudio({ reason: said.trim().slice(-500) || `ffmpeg ended with ${code}` })
  return output
})
