import { Deferred, Effect, Exit, Option } from "effect"
import { parseMediaType } from "../../audio/media-type.ts"
import { type RequestedFormat, requestableFormats } from "../../audio/speech-input.ts"
import type { SpokenFormat } from "../../audio/speech-joiner.ts"
import { type StartConversion, startLater } from "../../ffmpeg/convert.ts"
import { wrongAnswer } from "../errors.ts"
import { readEach } from "../read-each.ts"
import type { Synthesizer } from "../synthesizer.ts"
import type { OpenAiClient } from "./client.ts"
import { toProviderError } from "./errors.ts"
import { chunksOf } from "./fetch.ts"
import type { Choice } from "./refusal.ts"
import { wordField } from "./request.ts"
import { makeSpeechReader, type SpeechReader } from "./speech-reader.ts"

interface SpeakSettings {
  readonly startConversion: StartConversion
  /** As configured. None: the format of the reply or, where the server refuses that, another. */
  readonly format: Option.Option<RequestedFormat>
}

/** In order of preference. A WAV says its rate and is never compressed; Ogg, FLAC and AAC are always converted. */
const formatsFor: Readonly<Record<SpokenFormat, ReadonlyArray<RequestedFormat>>> = {
  pcm: ["pcm", "wav", "mp3", "flac", "opus", "aac"],
  mp3: ["mp3", "wav", "pcm", "opus", "flac", "aac"],
}

/** "Only wav and pcm are supported" */
const onlyFormats =
  /\bonly\b[^.]{0,40}\b(?:wav|mp3|pcm|flac|opus|aac)\b[^.]{0,60}\b(?:supported|allowed|accepted|available)\b/i

/** Of a format that they don't take, servers name the field, its value, or only that it is a format. */
const formatField = (format: RequestedFormat): Choice => {
  const field = wordField("response_format", format)
  return { ...field, names: [...field.names, /\bformats?\b/], sayings: [onlyFormats] }
}

const formatFields = ({ format }: SpeakSettings, wanted: SpokenFormat) =>
  [...new Set([...Option.toArray(format), ...formatsFor[wanted]])].map(formatField)

/** Asks for the format of the reply, or for one that the server takes. Whatever arrives is converted. */
export const speakWith =
  (client: OpenAiClient, settings: SpeakSettings): Synthesizer["Type"]["speak"] =>
  (text, { model, voice, output, conversionSlot = Effect.void, onLife }, open) =>
    Effect.gen(function* () {
      const take = open()
      const conversion = yield* Deferred.make<ReturnType<typeof startLater>>()
      const startInSlot: StartConversion = (...args) => {
        const later = startLater(() => settings.startConversion(...args))
        Deferred.unsafeDone(conversion, Exit.succeed(later))
        return later
      }
      // Beside the reading: the answer is kept while the conversion waits.
      yield* Deferred.await(conversion).pipe(
        Effect.zipLeft(conversionSlot),
        Effect.map(({ begin }) => begin()),
        Effect.forkScoped,
      )
      let reader: SpeechReader | undefined
      const request = async (signal: AbortSignal) => {
        let requested: RequestedFormat | undefined
        const optionals = [[wordField("voice", voice)], formatFields(settings, output.format)]
        const answer = await client.adapted(
          "tts",
          model,
          optionals,
          (fields) => {
            requested = requestableFormats.find((each) => each === fields.response_format)
            return client.sdk.post<Response>("/audio/speech", {
              body: { model, input: text, ...fields },
              headers: { accept: "application/octet-stream" },
              __binaryResponse: true,
              signal,
            })
          },
          onLife,
        )
        if (answer.body === null) throw wrongAnswer("tts", "no audio in it")
        const type = parseMediaType(answer.headers.get("content-type"))
        reader = makeSpeechReader({ type, requested, characters: text.length }, output, startInSlot, take)
        return chunksOf(answer)
      }
      yield* readEach(request, (chunk) => reader?.write(chunk), toProviderError("tts")).pipe(
        Effect.zipRight(Effect.promise(async () => reader?.end())),
        Effect.flatMap((problem) => (problem === undefined ? Effect.void : Effect.fail(problem))),
        Effect.ensuring(Effect.promise(async () => reader?.kill())),
      )
    }).pipe(Effect.scoped)
