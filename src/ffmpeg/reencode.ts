import { Effect, Either } from "effect"
import type { SpokenFormat } from "../audio/speech-joiner.ts"
import { feed, type StartFfmpeg } from "./sandbox.ts"

/** ffmpeg's arguments for each format, as input and as output. */
const formatArgs = {
  mp3: ["-f", "mp3"],
  pcm: ["-f", "s16le", "-ar", "24000", "-ac", "1"],
} as const

/** Re-encodes speech. A joiner has cleaned it, so an ffmpeg that fails on it is a defect. */
export const reencode = (
  start: StartFfmpeg,
  speech: Uint8Array,
  from: SpokenFormat,
  to: SpokenFormat,
): Effect.Effect<Uint8Array> =>
  Effect.acquireUseRelease(
    Effect.sync(() =>
      start([
        ...["-threads", "1", "-protocol_whitelist", "pipe", ...formatArgs[from], "-i", "pipe:0"],
        ...["-threads", "1", ...formatArgs[to], "pipe:1"],
      ]),
    ),
    (ffmpeg) =>
      Effect.promise(async () => {
        const [bytes, ending] = await Promise.all([
          new Response(ffmpeg.stdout).bytes(),
          ffmpeg.ended(),
          feed(ffmpeg.stdin, [speech]),
        ])
        if (Either.isLeft(ending)) throw new Error(`ffmpeg could not re-encode speech: ${ending.left._tag}`)
        return bytes
      }),
    (ffmpeg) => Effect.promise(ffmpeg.kill),
  )
