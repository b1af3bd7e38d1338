import { Effect } from "effect"
import { wrongAnswer } from "../errors.ts"
import { readEach } from "../read-each.ts"
import type { Synthesizer } from "../synthesizer.ts"
import type { OpenAiClient } from "./client.ts"
import { toProviderError } from "./errors.ts"
import { wordField } from "./request.ts"

/** The content types of a proxy's error page and of a server's error message. */
const isText = /^(text|application\/(json|xml))/

export const speakWith =
  (client: OpenAiClient): Synthesizer["Type"]["speak"] =>
  (text, { model, voice, format }, open) =>
    Effect.suspend(() => {
      const take = open()
      let received = 0
      const audio = readEach(
        async (signal) => {
          const fields = [[wordField("voice", voice)], [wordField("response_format", format)]]
          const answer = await client.adapted("tts", model, fields, (fields) =>
            client.sdk.post<Response>("/audio/speech", {
              body: { model, input: text, ...fields },
              headers: { accept: "application/octet-stream" },
              __binaryResponse: true,
              signal,
            }),
          )
          if (isText.test(answer.headers.get("content-type") ?? "") || answer.body === null) {
            throw wrongAnswer("tts", "text where the audio should be")
          }
          return answer.body
        },
        (chunk: Uint8Array) => {
          received += chunk.length
          take(chunk)
        },
        toProviderError("tts"),
      )
      return Effect.flatMap(audio, () =>
        received > 0 ? Effect.succeed(format) : wrongAnswer("tts", "no audio in it"),
      )
    })
