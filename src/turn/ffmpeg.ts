import { Context, Duration, Effect, Layer, Option, Schema } from "effect"
import { Settings } from "../config.ts"
import { thisMachine } from "../machine.ts"
import { startDecoder } from "./decoder.ts"
import { InvalidAudio } from "./errors.ts"
import { reformat } from "./reformat.ts"
import type { SpokenFormat } from "./speak.ts"
import type { Demuxer, Recording } from "./validate.ts"
import { makeWarmDecoders } from "./warm-decoders.ts"

/** There is no ffmpeg to run. */
export class FfmpegMissing extends Schema.TaggedError<FfmpegMissing>()("FfmpegMissing", {
  message: Schema.String,
}) {}

/** Of decoding, and of the CPU that it may use. */
const timeout = Duration.seconds(20)

/**
 * Decodings at a time for each core. They take CPU and nothing else: more of them at once would all end late, fewer
 * would let a handful of files made to be slow hold up everyone.
 */
const decodingsPerCore = 4

/** What a browser records, but for Safari. */
const usual: Demuxer = "matroska"

export const isInstalled = (ffmpegPath: string) => Bun.which(ffmpegPath) !== null

/**
 * Recordings to samples, by ffmpeg. To start one takes 60 to 130 ms, nearly all of it for its 200 libraries: up to
 * FFMPEG_WARM of them wait for the next recording, and are as good for one turn as those started for it.
 */
export class Ffmpeg extends Context.Tag("Ffmpeg")<
  Ffmpeg,
  {
    /**
     * The first audio track as 16 kHz mono 16-bit little-endian samples; where it is longer than
     * MAX_AUDIO_DURATION_SECONDS, at least as much as tells that, and little more than a second more. Fails with
     * InvalidAudio where nothing decodes, or not within 20 s.
     */
    readonly decode: (recording: Recording) => Effect.Effect<Uint8Array, InvalidAudio>
    /** Speech of our own in the other format. */
    readonly reformat: (speech: Uint8Array, from: SpokenFormat, to: SpokenFormat) => Effect.Effect<Uint8Array>
  }
>() {
  /** Refuses to start without ffmpeg: the first turn would be too late to learn that. */
  static readonly layer = Layer.scoped(
    Ffmpeg,
    Effect.gen(function* () {
      const { ffmpegPath, ffmpegWarm, maxAudioSeconds } = yield* Settings
      if (!isInstalled(ffmpegPath)) {
        return yield* new FfmpegMissing({
          message: `There is no ffmpeg at "${ffmpegPath}": install it (apt-get install ffmpeg, brew install ffmpeg), or set FFMPEG_PATH.`,
        })
      }
      const settings = { ffmpegPath, maxAudioSeconds, maxCpuSeconds: Duration.toSeconds(timeout) }
      const fromPipe = (demuxer: Demuxer) => startDecoder(settings, demuxer, "pipe:0")
      const warm = yield* makeWarmDecoders(ffmpegWarm, fromPipe)
      yield* warm.keep(usual)

      const places = yield* Effect.makeSemaphore(decodingsPerCore * thisMachine().cores)

      const decode = Effect.fn("Ffmpeg.decode")(function* (recording: Recording) {
        const { upload, demuxer, readFrom } = recording
        const isFed = readFrom === "pipe"
        const outcome = yield* Effect.acquireUseRelease(
          Effect.sync(() =>
            isFed
              ? Option.getOrElse(warm.take(demuxer), () => fromPipe(demuxer))
              : startDecoder(settings, demuxer, `file:${upload.path}`),
          ),
          (decoder) => Effect.promise(() => decoder.decode(upload.path)),
          (decoder) => Effect.promise(decoder.kill),
        ).pipe(
          Effect.timeoutFail({
            duration: timeout,
            onTimeout: () =>
              new InvalidAudio({ reason: `not decoded within ${Duration.toSeconds(timeout)} s` }),
          }),
          // Not before: its start would compete with the decoding for the CPU.
          Effect.ensuring(isFed ? warm.keep(demuxer) : Effect.void),
          places.withPermits(1),
        )
        return yield* Effect.mapError(outcome, (reason) => new InvalidAudio({ reason }))
      })

      const reformatting = Effect.fn("Ffmpeg.reformat")(
        (speech: Uint8Array, from: SpokenFormat, to: SpokenFormat) =>
          reformat(ffmpegPath, speech, from, to).pipe(
            Effect.timeout(timeout),
            Effect.orDie,
            places.withPermits(1),
          ),
      )

      return { decode, reformat: reformatting }
    }),
  )
}
