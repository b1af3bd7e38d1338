import { Context, Duration, Effect, Either, Layer, Match, Option, Schema } from "effect"
import type { Recording } from "../audio/container.ts"
import { InvalidAudio } from "../audio/errors.ts"
import { type Pcm16k, pcm16k } from "../audio/pcm.ts"
import { openAiPcm } from "../audio/raw-samples.ts"
import type { Demuxer } from "../audio/sniff.ts"
import type { SpokenFormat } from "../audio/speech-joiner.ts"
import { encodedMp3 } from "../audio/speech-output.ts"
import { Settings } from "../config.ts"
import { makeStartConversion, type StartConversion } from "./convert.ts"
import { type DecoderOptions, startDecoder } from "./decoder.ts"
import { directWav, readSamples } from "./direct-wav.ts"
import { isOfWholeFile } from "./failures.ts"
import { probeFfmpeg } from "./probe.ts"
import { type FfmpegFailure, hostBounds, makeStartFfmpeg } from "./sandbox.ts"
import { makeWarmDecoders } from "./warm-decoders.ts"

/** No ffmpeg runs on this machine. */
export class FfmpegMissing extends Schema.TaggedError<FfmpegMissing>()("FfmpegMissing", {
  message: Schema.String,
}) {}

/** The system killed ffmpeg, as it does when memory runs out. The recording is not at fault: try again later. */
export class FfmpegKilled extends Schema.TaggedError<FfmpegKilled>()("FfmpegKilled", {}) {}

/** Wall-clock limit of one ffmpeg, from its first input. */
const timeout = Duration.seconds(20)

/** The format that browsers other than Safari record. */
const usualDemuxer: Demuxer = "matroska"

/**
 * The formats in which phones, cameras and screen recorders store several audio tracks, sometimes in a codec of their
 * own. The others have one track.
 */
const severalTracks: ReadonlyArray<Demuxer> = ["mov", "matroska"]
/** Tracks that are tried before the recording is refused. Each costs the start of an ffmpeg. */
const maxTracks = 3

export const isInstalled = (ffmpegPath: string) => Bun.which(ffmpegPath) !== null

/** Whether `decode` starts an ffmpeg, or takes one that waits. A 16 kHz mono 16-bit WAV needs none. */
export const needsFfmpeg = (recording: Recording) => Option.isNone(directWav(recording))

const failure = Match.typeTags<FfmpegFailure>()({
  Failed: ({ message }) => new InvalidAudio({ reason: message, isTooSlow: false }),
  TooSlow: ({ message }) => new InvalidAudio({ reason: message, isTooSlow: true }),
  Killed: () => new FfmpegKilled(),
})

type Decoded = Either.Either<Uint8Array, FfmpegFailure>

const hasSound = (decoded: Decoded) => Either.isRight(decoded) && decoded.right.length > 0

/** Whether another track may be better: this one was at fault, not the time, the machine or the whole file. */
const mayHaveBetterTrack = (decoded: Decoded) =>
  Either.match(decoded, {
    onLeft: (failure) => failure._tag === "Failed" && !isOfWholeFile(failure.message),
    onRight: ({ length }) => length === 0,
  })

/** The settings of the same names. */
interface FfmpegOptions {
  readonly ffmpegPath: string
  /** Most decoders that wait for a recording. */
  readonly ffmpegWarm: number
  readonly maxAudioSeconds: number
}

const makeFfmpeg = Effect.fnUntraced(function* ({ ffmpegPath, ffmpegWarm, maxAudioSeconds }: FfmpegOptions) {
  if (!isInstalled(ffmpegPath)) {
    return yield* new FfmpegMissing({
      message: `There is no ffmpeg at "${ffmpegPath}": install it (apt-get install ffmpeg, brew install ffmpeg), or set FFMPEG_PATH.`,
    })
  }
  const start = makeStartFfmpeg(ffmpegPath)
  yield* Effect.mapError(
    probeFfmpeg(start),
    (reason) =>
      new FfmpegMissing({
        message: `The ffmpeg at "${ffmpegPath}" does not run here: ${reason}. Install another, or set FFMPEG_PATH.`,
      }),
  )
  if (hostBounds().prlimit === null) {
    yield* Effect.annotateLogs(Effect.logInfo("ffmpeg.unsandboxed"), {
      hint: "prlimit is missing, so ffmpeg's memory has no limit. On Linux, install util-linux.",
    })
  }
  const startFor = (demuxer: Demuxer, input: DecoderOptions["input"] = "pipe:0", track = 0) =>
    startDecoder(start, { maxAudioSeconds, demuxer, input, track })
  const warm = yield* makeWarmDecoders(ffmpegWarm, startFor)
  yield* warm.keep(usualDemuxer)

  const decodeTrack = (recording: Recording, track: number) => {
    const { demuxer, readFrom, path } = recording
    const isPiped = readFrom === "pipe"
    const ready = isPiped && track === 0 ? () => warm.take(demuxer) : Option.none
    return Effect.acquireUseRelease(
      Effect.sync(() =>
        Option.getOrElse(ready(), () => startFor(demuxer, isPiped ? "pipe:0" : `file:${path}`, track)),
      ),
      (decoder) => Effect.promise(() => decoder.decode(recording)),
      (decoder) => Effect.promise(decoder.kill),
    )
  }

  /** The first track that can be decoded. Without one, what became of the first. */
  const decodeTracks = Effect.fnUntraced(function* (recording: Recording) {
    const first = yield* decodeTrack(recording, 0)
    if (!severalTracks.includes(recording.demuxer)) return first
    let last = first
    for (let track = 1; track < maxTracks && mayHaveBetterTrack(last); track++) {
      last = yield* decodeTrack(recording, track)
    }
    return hasSound(last) ? last : first
  })

  const decodeByFfmpeg = Effect.fnUntraced(function* (recording: Recording) {
    const decoded = yield* decodeTracks(recording).pipe(
      Effect.timeoutFail({
        duration: timeout,
        onTimeout: () =>
          new InvalidAudio({
            reason: `not decoded within ${Duration.toSeconds(timeout)} s`,
            isTooSlow: true,
          }),
      }),
      // Not earlier: the start of the next decoder would compete with this decoding for the CPU.
      Effect.ensuring(recording.readFrom === "pipe" ? warm.keep(recording.demuxer) : Effect.void),
    )
    return yield* Effect.mapError(decoded, failure)
  })

  const decode: Ffmpeg["Type"]["decode"] = Effect.fn("Ffmpeg.decode")((recording: Recording) =>
    Option.match(directWav(recording), {
      onSome: (wav) => readSamples(recording.path, wav, maxAudioSeconds + 1),
      onNone: () => decodeByFfmpeg(recording),
    }).pipe(Effect.map(pcm16k)),
  )

  const startConversion = makeStartConversion(start)

  /** Speech that a joiner cleaned, so an ffmpeg that fails on it is a defect. */
  const reencode: Ffmpeg["Type"]["reencode"] = Effect.fn("Ffmpeg.reencode")((speech, from, to) => {
    if (from === to) return Effect.succeed(speech)
    const chunks: Array<Uint8Array> = []
    return Effect.acquireUseRelease(
      Effect.sync(() =>
        startConversion(
          from === "pcm" ? openAiPcm : { demuxer: "mp3" },
          to === "pcm" ? "pcm" : encodedMp3,
          (bytes) => chunks.push(bytes),
        ),
      ),
      ({ write, end }) =>
        Effect.promise(async () => {
          write(speech)
          const ending = await end()
          if (Either.isLeft(ending)) throw new Error(`ffmpeg could not re-encode speech: ${ending.left._tag}`)
          return Buffer.concat(chunks)
        }),
      ({ kill }) => Effect.promise(kill),
    ).pipe(Effect.timeout(timeout), Effect.orDie)
  })

  return { decode, reencode, startConversion }
})

/**
 * Decodes recordings and re-encodes speech. An ffmpeg takes 60 to 130 ms to start, mostly to load its 200 libraries, so
 * up to FFMPEG_WARM of them wait for the next recording. Each decodes one recording.
 */
export class Ffmpeg extends Context.Tag("voice-agent/Ffmpeg")<
  Ffmpeg,
  {
    /**
     * Decodes the first audio track that can be decoded. Stops about one second after MAX_AUDIO_DURATION_SECONDS, which is
     * enough for `checkDuration` to tell that the recording is too long. Fails with InvalidAudio if nothing decodes, or not
     * within 20 s and the limits on CPU and memory.
     */
    readonly decode: (recording: Recording) => Effect.Effect<Pcm16k, InvalidAudio | FfmpegKilled>
    /** Re-encodes speech that a joiner produced. Any failure is a defect. */
    readonly reencode: (speech: Uint8Array, from: SpokenFormat, to: SpokenFormat) => Effect.Effect<Uint8Array>
    /** Starts to convert the speech of a provider. The caller must kill what it starts. */
    readonly startConversion: StartConversion
  }
>() {
  /** Fails if no ffmpeg runs, so that the service does not start without one. */
  static readonly layer = Layer.scoped(Ffmpeg, Effect.flatMap(Settings, makeFfmpeg))
}
