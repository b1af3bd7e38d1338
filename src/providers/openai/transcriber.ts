import { Effect, Option, Schema } from "effect"
import type OpenAI from "openai"
import { type Pcm16k, sampleRate } from "../../audio/pcm.ts"
import { wavHeader } from "../../audio/wav.ts"
import { wrongAnswer } from "../errors.ts"
import type { Transcriber } from "../transcriber.ts"
import { toProviderError } from "./errors.ts"

const Segment = Schema.Struct({
  text: Schema.String,
  no_speech_prob: Schema.Number,
  avg_logprob: Schema.Number,
})
type Segment = typeof Segment.Type

/** Compatible servers send more than this, or HTML with status 200, so the SDK's own type proves nothing. */
const Transcription = Schema.Struct({ text: Schema.String })
const isTranscription = Schema.is(Transcription)
const areSegments = Schema.is(Schema.Array(Segment))

/**
 * Whisper's own two thresholds for silence. Its text for silence ("Thanks for watching!") comes from its training data.
 * Over 0.9 the probability of the text does not matter.
 */
const isSilence = ({ no_speech_prob, avg_logprob }: Segment) =>
  no_speech_prob > 0.9 || (no_speech_prob > 0.6 && avg_logprob < -1)

/** The text without the segments that are silence. */
const spokenText = (body: { readonly text: string; readonly segments?: unknown }) => {
  if (!areSegments(body.segments) || !body.segments.some(isSilence)) return body.text
  return body.segments
    .filter((segment) => !isSilence(segment))
    .map(({ text }) => text.trim())
    .join(" ")
}

/** Only this format has segments. OpenAI's models after Whisper do not know it. */
const formatOf = (model: string) => (/whisper/i.test(model) ? "verbose_json" : "json")

/** A WAV of the samples. They are not copied. */
const wavFile = ({ bytes }: Pcm16k) => {
  const header = wavHeader({ sampleRate, channels: 1, bitsPerSample: 16, dataBytes: bytes.length })
  return new File([header, bytes], "speech.wav", { type: "audio/wav" })
}

export const transcribeWith =
  (client: OpenAI): Transcriber["Type"]["transcribe"] =>
  (speech, { model, language }) =>
    Effect.tryPromise({
      try: (signal) =>
        client.audio.transcriptions.create(
          {
            file: wavFile(speech),
            model,
            response_format: formatOf(model),
            ...(Option.isSome(language) ? { language: language.value } : {}),
          },
          { signal },
        ),
      catch: toProviderError("stt"),
    }).pipe(
      Effect.flatMap((body) =>
        isTranscription(body)
          ? // PostgreSQL stores no NUL in text.
            Effect.succeed({ text: spokenText(body).replaceAll("\0", "").trim() })
          : wrongAnswer("stt", "no transcript in it"),
      ),
    )
