import { Effect, Either } from "effect"
import type { SpokenFormat } from "../audio/speech-joiner.ts"
import { feed, type StartFfmpeg } from "./sandbox.ts"

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
  start: StartFfmpeg,
  speech: Uint8Array,
  from: SpokenFormat,
  to: SpokenFormat,
): Effect.Effect<Uint8Array> =>
  Effect.acquireUseRelease(
    Effect.sync(() =>
      start([
        ...["-threads", "1", "-protocol_whitelist", "pipe", ...told[from], "-i", "pipe:0"],
        ...["-threads", "1", ...told[to], "pipe:1"],
      ]),
    ),
    (ffmpeg) =>
      Effect.promise(async () => {
        const [bytes, ending] = await Promise.all([
          new Response(ffmpeg.stdout).bytes(),
          ffmpeg.ended(),
          feed(ffmpeg.stdin, [speech]),
        ])
        if (Either.isLeft(ending)) throw new Error(`ffmpeg failed on speech of ours: ${ending.left._tag}`)
        return bytes
      }),
    (ffmpeg) => Effect.promise(ffmpeg.kill),
  )
