import { Effect, Option, Schema } from "effect"
import type { Provider } from "../openai/client.ts"
import { wrongAnswer } from "../openai/errors.ts"
import { retryPolicy } from "../openai/retry.ts"
import { NoSpeechDetected } from "./errors.ts"
import type { Speech } from "./transcode.ts"

/** Compatible servers answer with more, or with HTML and status 200; the SDK's own type is a hope. */
const Transcription = Schema.Struct({ text: Schema.String })

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
          response_format: "json",
          ...(Option.isSome(language) ? { language: language.value } : {}),
        },
        { signal },
      ),
    )
    .pipe(
      Effect.flatMap((body) =>
        Effect.mapError(Schema.decodeUnknown(Transcription)(body), () =>
          wrongAnswer("stt", "no transcript in it"),
        ),
      ),
      Effect.retry(retryPolicy),
    )
  // PostgreSQL keeps no NUL in text.
  const transcript = answer.text.replaceAll("\0", "").trim()
  return transcript === "" ? yield* new NoSpeechDetected() : transcript
})
