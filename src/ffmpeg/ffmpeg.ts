import { Context, Duration, Effect, Layer, Match, Option, Schema } from "effect"
import type { Demuxer, Recording } from "../audio/container.ts"
import { InvalidAudio } from "../audio/errors.ts"
import type { SpokenFormat } from "../audio/speech-joiner.ts"
import { thisMachine } from "../capacity.ts"
import { Settings } from "../config.ts"
import { Overloaded } from "../limits/admission.ts"
import { makePlaces } from "../limits/fair-semaphore.ts"
import { startDecoder } from "./decoder.ts"
import { tryFfmpeg } from "./probe.ts"
import { reformat } from "./reencode.ts"
import { boundsHere, type Ending, makeStartFfmpeg } from "./sandbox.ts"
import { makeWarmDecoders } from "./warm-decoders.ts"

/** There is no ffmpeg that runs here. */
export class FfmpegMissing extends Schema.TaggedError<FfmpegMissing>()("FfmpegMissing", {
  message: Schema.String,
}) {}

/** Of decoding, once it has a place. */
const timeout = Duration.seconds(20)

/**
 * Decodings at a time for each core. They take CPU and nothing else: more of them at once would all end late, fewer
 * would let a handful of files made to be slow hold up everyone.
 */
const decodingsPerCore = 4
/** Of one user: enough to keep the CPU busy, and half of them are left to all others. */
const decodingsPerCoreAndUser = 2

/** What a browser records, but for Safari. */
const usual: Demuxer = "matroska"

export const isInstalled = (ffmpegPath: string) => Bun.which(ffmpegPath) !== null

/** Whose recording is decoded. */
export interface Decoding {
  readonly userId: string
  /** Done when its place is reached. */
  readonly begins: Effect.Effect<void>
}

/** Nothing tells how long the others will take. */
const noPlace = new Overloaded({ reason: "decoding", retryAfter: 1 })

const failure = Match.typeTags<Ending>()({
  Failed: ({ said }) => new InvalidAudio({ reason: said, isTooSlow: false }),
  TooSlow: ({ said }) => new InvalidAudio({ reason: said, isTooSlow: true }),
  Killed: () => new Overloaded({ reason: "memory", retryAfter: 1 }),
})

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
     * InvalidAudio where nothing decodes, or not within 20 s and the bounds on memory; with Overloaded where no place
     * is free within TURN_TIMEOUT_SECONDS, or somebody else ended ffmpeg.
     */
    readonly decode: (
      recording: Recording,
      decoding: Decoding,
    ) => Effect.Effect<Uint8Array, InvalidAudio | Overloaded>
    /** A user's speech, of our own making, in the other format. */
    readonly reformat: (
      userId: string,
      speech: Uint8Array,
      from: SpokenFormat,
      to: SpokenFormat,
    ) => Effect.Effect<Uint8Array, Overloaded>
  }
>() {
  /** Refuses to start without an ffmpeg that runs: the first turn would be too late to learn that. */
  static readonly layer = Layer.scoped(
    Ffmpeg,
    Effect.gen(function* () {
      const { ffmpegPath, ffmpegWarm, maxAudioSeconds, turnTimeout } = yield* Settings
      if (!isInstalled(ffmpegPath)) {
        return yield* new FfmpegMissing({
          message: `There is no ffmpeg at "${ffmpegPath}": install it (apt-get install ffmpeg, brew install ffmpeg), or set FFMPEG_PATH.`,
        })
      }
      const start = makeStartFfmpeg(ffmpegPath)
      yield* Effect.mapError(
        tryFfmpeg(start),
        (reason) =>
          new FfmpegMissing({
            message: `The ffmpeg at "${ffmpegPath}" does not run here: ${reason}. Install another, or set FFMPEG_PATH.`,
          }),
      )
      if (boundsHere().prlimit === null) {
        yield* Effect.annotateLogs(Effect.logInfo("ffmpeg.unsandboxed"), {
          hint: "prlimit is missing, so ffmpeg's memory has no limit. On Linux, install util-linux.",
        })
      }
      const fromPipe = (demuxer: Demuxer) => startDecoder(start, maxAudioSeconds, demuxer, "pipe:0")
      const warm = yield* makeWarmDecoders(ffmpegWarm, fromPipe)
      yield* warm.keep(usual)

      const { cores } = thisMachine()
      const places = makePlaces(
        {
          all: decodingsPerCore * cores,
          perUser: decodingsPerCoreAndUser * cores,
          waiting: Number.POSITIVE_INFINITY,
          waitingPerUser: Number.POSITIVE_INFINITY,
        },
        turnTimeout,
      )
      const inPlace = <A, E>(userId: string, effect: Effect.Effect<A, E>) =>
        Effect.flatten(Effect.mapError(places.within(userId, Effect.either(effect)), () => noPlace))

      const decode = Effect.fn("Ffmpeg.decode")(function* (
        recording: Recording,
        { userId, begins }: Decoding,
      ) {
        const { upload, demuxer, readFrom } = recording
        const isFed = readFrom === "pipe"
        const decoding = Effect.acquireUseRelease(
          Effect.sync(() =>
            isFed
              ? Option.getOrElse(warm.take(demuxer), () => fromPipe(demuxer))
              : startDecoder(start, maxAudioSeconds, demuxer, `file:${upload.path}`),
          ),
          (decoder) => Effect.promise(() => decoder.decode(upload.path)),
          (decoder) => Effect.promise(decoder.kill),
        ).pipe(
          Effect.timeoutFail({
            duration: timeout,
            onTimeout: () =>
              new InvalidAudio({
                reason: `not decoded within ${Duration.toSeconds(timeout)} s`,
                isTooSlow: true,
              }),
          }),
          // Not before: its start would compete with the decoding for the CPU.
          Effect.ensuring(isFed ? warm.keep(demuxer) : Effect.void),
        )
        const outcome = yield* inPlace(userId, Effect.zipRight(begins, decoding))
        return yield* Effect.mapError(outcome, failure)
      })

      const reformatting = Effect.fn("Ffmpeg.reformat")(
        (userId: string, speech: Uint8Array, from: SpokenFormat, to: SpokenFormat) =>
          from === to
            ? Effect.succeed(speech)
            : inPlace(userId, reformat(start, speech, from, to).pipe(Effect.timeout(timeout), Effect.orDie)),
      )

      return { decode, reformat: reformatting }
    }),
  )
}
