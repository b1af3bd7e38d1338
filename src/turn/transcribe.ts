import { Effect } from "effect"
import { NoSpeechDetected } from "../audio/errors.ts"
import { pcm16k } from "../audio/pcm.ts"
import { WAV_HEADER_BYTES } from "../audio/wav.ts"
import type { TranscribeOptions, Transcriber } from "../providers/transcriber.ts"
import type { Speech } from "./transcode.ts"

/** What was said, as text. An empty transcript is an answer, not a failure. */
export const transcribe = Effect.fn("transcribe")(function* (
  stt: Transcriber["Type"],
  speech: Speech,
  options: TranscribeOptions,
) {
  const { text } = yield* stt.transcribe(pcm16k(speech.wav.subarray(WAV_HEADER_BYTES)), options)
  return text === "" ? yield* new NoSpeechDetected() : text
})
