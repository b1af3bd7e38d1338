import { Effect, Mailbox, Schema, type Scope, Stream } from "effect"
import type { StartFfmpeg } from "../../ffmpeg/sandbox.ts"
import { command, ffmpegCommand, pipeline, type TakeSlot } from "./children.ts"
import { voiceOptions } from "./voices.ts"
import { readJson } from "./wire.ts"

/** Each format's media type and ffmpeg's way to it; all of it 24 kHz mono, as OpenAI's. */
const formats = {
  mp3: {
    type: "audio/mpeg",
    encode: ["-c:a", "libmp3lame", "-b:a", "64k", "-write_xing", "0", "-id3v2_version", "0", "-f", "mp3"],
  },
  opus: { type: "audio/opus", encode: ["-c:a", "libopus", "-b:a", "48k", "-f", "ogg"] },
  aac: { type: "audio/aac", encode: ["-c:a", "aac", "-f", "adts"] },
  flac: { type: "audio/flac", encode: ["-c:a", "flac", "-f", "flac"] },
  wav: { type: "audio/wav", encode: ["-c:a", "pcm_s16le", "-bitexact", "-f", "wav"] },
  pcm: { type: "audio/pcm", encode: ["-c:a", "pcm_s16le", "-f", "s16le"] },
} as const

const SpeechRequest = Schema.Struct({
  model: Schema.NonEmptyString,
  input: Schema.NonEmptyString.pipe(Schema.maxLength(4096)),
  voice: Schema.Union(Schema.NonEmptyString, Schema.Struct({ id: Schema.NonEmptyString })),
  response_format: Schema.optionalWith(Schema.Literal("mp3", "opus", "aac", "flac", "wav", "pcm"), {
    default: () => "mp3",
    nullable: true,
  }),
  speed: Schema.optionalWith(Schema.Number.pipe(Schema.between(0.25, 4)), {
    default: () => 1,
    nullable: true,
  }),
})

/** Text that espeak-ng reads as silence (an ellipsis) still has to give some audio, in seconds. */
const shortest = 0.25

const synthesise = (espeak: string, asked: typeof SpeechRequest.Type) => {
  const voice = typeof asked.voice === "string" ? asked.voice : asked.voice.id
  const options = voiceOptions(asked.input, voice, asked.speed)
  return command(espeak, ["--stdin", "--stdout", "-b", "1", ...options])
}

/** Without espeak-ng: a soft pulsing tone, a third of a second for each word. */
const tone = (text: string) => {
  const seconds = Math.min(60, Math.max(0.5, text.split(/\s+/).length / 3))
  const source = `sine=frequency=330:sample_rate=24000:duration=${seconds}`
  return ["-f", "lavfi", "-i", `${source},tremolo=f=3:d=0.9,volume=2`]
}

/**
 * The programs run at their own pace, into memory (4096 characters are about 15 MB of samples): a client that
 * reads slowly, or waits for another piece first, must keep neither them nor their slot.
 */
const readAhead = <E>(
  takeSlot: TakeSlot,
  chunks: Effect.Effect<Stream.Stream<Uint8Array, E>, never, Scope.Scope>,
): Stream.Stream<Uint8Array, E> =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      const made = yield* Mailbox.make<Uint8Array, E>()
      const job = Effect.zipRight(takeSlot, chunks).pipe(
        Effect.flatMap(Stream.runForEach((chunk) => made.offer(chunk))),
        Effect.scoped,
      )
      yield* Effect.forkScoped(Mailbox.into(job, made))
      return Mailbox.toStream(made)
    }),
  )

export const makeSpeaking = (options: {
  readonly startFfmpeg: StartFfmpeg
  readonly searchPath: string
  readonly takeSlot: TakeSlot
}) => {
  const espeak = Bun.which("espeak-ng", { PATH: options.searchPath })

  /** `POST /v1/audio/speech`: the audio leaves as it is made; the client's hang-up ends both programs. */
  const speak = Effect.fn("Speaking.speak")(function* (request: Request) {
    const asked = yield* readJson(request, SpeechRequest)
    const { type, encode } = formats[asked.response_format]
    const input =
      espeak === null ? tone(asked.input) : ["-protocol_whitelist", "pipe", "-f", "wav", "-i", "pipe:0"]
    const output = ["-af", `apad=whole_dur=${shortest}`, "-ac", "1", "-ar", "24000", ...encode]
    const convert = ffmpegCommand(options.startFfmpeg, [
      ...["-threads", "1", ...input],
      ...["-threads", "1", ...output, "pipe:1"],
    ])
    const chunks =
      espeak === null
        ? pipeline([convert], [])
        : pipeline([synthesise(espeak, asked), convert], [new TextEncoder().encode(asked.input)])
    const body = Stream.toReadableStreamRuntime(readAhead(options.takeSlot, chunks), yield* Effect.runtime())
    return new Response(body, { headers: { "content-type": type } })
  })

  return { engine: espeak === null ? "none" : "espeak-ng", speak } as const
}
