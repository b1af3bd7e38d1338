import { Effect, Option, Schema } from "effect"
import { NoSpeechDetected } from "../audio/errors.ts"
import { wrongAnswer } from "../providers/errors.ts"
import type { Provider } from "../providers/openai/client.ts"
import { retryPolicy } from "../providers/retry.ts"
import type { Speech } from "./transcode.ts"

const Segment = Schema.Struct({
  text: Schema.String,
  no_speech_prob: Schema.Number,
  avg_logprob: Schema.Number,
})
type Segment = typeof Segment.Type

/** Compatible servers answer with more, or with HTML and status 200; the SDK's own type is a hope. */
const Transcription = Schema.Struct({ text: Schema.String })
const areSegments = Schema.is(Schema.Array(Segment))

/**
 * Whether Whisper itself takes a segment for silence, by its own two thresholds; the text that it gives to silence
 * ("Thanks for watching!") is what its training had there. Over 0.9 it is sure enough whatever the text.
 */
const isSilence = ({ no_speech_prob, avg_logprob }: Segment) =>
  no_speech_prob > 0.9 || (no_speech_prob > 0.6 && avg_logprob < -1)

/** Without the segments that are silence, where the answer has segments. */
const spokenPart = (body: { readonly text: string; readonly segments?: unknown }) => {
  if (!areSegments(body.segments) || !body.segments.some(isSilence)) return body.text
  return body.segments
    .filter((segment) => !isSilence(segment))
    .map(({ text }) => text.trim())
    .join(" ")
}

/** Whisper tells its doubts in this format alone; later models of OpenAI's do not know it. */
const formatOf = (model: string) => (/whisper/i.test(model) ? "verbose_json" : "json")

/** What was said, as text. An empty transcript is an answer, not a failure: it is not asked for again. */
export const transcribe = Effect.fn("transcribe")(function* (
  stt: Provider,
  speech: Speech,
  language: Option.Option<string>,
) {
  const answer = yield* stt
    .request(({ sdk, model, signal }) =>
      sdk.audio.transcriptions.create(
        {
          file: new File([speech.wav], "speech.wav", { type: "audio/wav" }),
          model,
          response_format: formatOf(model),
          ...(Option.isSome(language) ? { language: language.value } : {}),
        },
        { signal },
      ),
    )
    .pipe(
      Effect.flatMap((body) =>
        Schema.is(Transcription)(body)
          ? Effect.succeed(spokenPart(body))
          : wrongAnswer("stt", "no transcript in it"),
      ),
      Effect.retry(retryPolicy()),
    )
  // PostgreSQL keeps no NUL in text.
  const transcript = answer.replaceAll("\0", "").trim()
  return transcript === "" ? yield* new NoSpeechDetected() : transcript
})
