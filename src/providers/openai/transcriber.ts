import { Effect, Option, Schema } from "effect"
import { wrongAnswer } from "../errors.ts"
import type { Transcriber } from "../transcriber.ts"
import type { OpenAiClient } from "./client.ts"
import { toProviderError } from "./errors.ts"
import { transcriptionFields, transcriptionForm } from "./request.ts"

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

export const transcribeWith =
  (client: OpenAiClient, format: Option.Option<string> = Option.none()): Transcriber["Type"]["transcribe"] =>
  (speech, options) =>
    Effect.tryPromise({
      try: (signal) =>
        client.adapted("stt", options.model, transcriptionFields(options, format), (fields) =>
          client.sdk.post<unknown>("/audio/transcriptions", {
            body: transcriptionForm(speech, options.model, fields),
            signal,
          }),
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
