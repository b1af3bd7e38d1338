import { Effect, Option } from "effect"
import type OpenAI from "openai"
import { type Pcm16k, sampleRate } from "../../audio/pcm.ts"
import { wavHeader } from "../../audio/wav.ts"
import type { Transcriber } from "../transcriber.ts"
import { toProviderError } from "./errors.ts"
import { readTranscript } from "./transcript.ts"

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
      try: async (signal) => {
        const answer = await client.audio.transcriptions
          .create(
            {
              file: wavFile(speech),
              model,
              response_format: formatOf(model),
              ...(Option.isSome(language) ? { language: language.value } : {}),
            },
            { signal },
          )
          .asResponse()
        return { body: await answer.text(), contentType: answer.headers.get("content-type") ?? "" }
      },
      catch: toProviderError("stt"),
    }).pipe(
      Effect.flatMap(({ body, contentType }) => {
        const transcript = readTranscript(body, contentType)
        return typeof transcript === "string" ? Effect.succeed({ text: transcript }) : Effect.fail(transcript)
      }),
    )
