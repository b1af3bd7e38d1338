import { Effect, Option } from "effect"
import type { Transcriber } from "../transcriber.ts"
import type { OpenAiClient } from "./client.ts"
import { toProviderError } from "./errors.ts"
import { textOf } from "./fetch.ts"
import { promptOf, transcriptionFields, transcriptionForm } from "./request.ts"
import { readTranscript } from "./transcript.ts"

export const transcribeWith =
  (client: OpenAiClient, format: Option.Option<string> = Option.none()): Transcriber["Type"]["transcribe"] =>
  (speech, options) =>
    Effect.tryPromise({
      try: async (signal) => {
        const fields = transcriptionFields(options, format)
        const answer = await client.adapted(
          "stt",
          options.model,
          fields,
          (fields) =>
            client.sdk
              .post("/audio/transcriptions", {
                body: transcriptionForm(speech, options.model, fields),
                signal,
              })
              .asResponse(),
          options.onLife,
        )
        return { body: await textOf(answer), contentType: answer.headers.get("content-type") ?? "" }
      },
      catch: toProviderError("stt"),
    }).pipe(
      Effect.flatMap(({ body, contentType }) => {
        const transcript = readTranscript(body, contentType)
        if (typeof transcript !== "string") return Effect.fail(transcript)
        // Of a recording without words, Whisper repeats its prompt.
        const isEcho = transcript !== "" && transcript.replace(/\.$/, "") === promptOf(options.keyTerms ?? [])
        return Effect.succeed({ text: isEcho ? "" : transcript })
      }),
    )
