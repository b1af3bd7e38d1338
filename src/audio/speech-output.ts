import type { Mp3Format } from "./mp3-frame.ts"
import type { SpokenFormat } from "./speech-joiner.ts"

/** The format of all audio of one reply. */
export type SpeechOutput =
  | { readonly format: "pcm" }
  | {
      readonly format: "mp3"
      /** The format of the reply's frames: that of the first audio which asks. */
      readonly mp3: (found: Mp3Format) => Mp3Format
    }

/** The MP3 that the service encodes: 24 kHz mono, as OpenAI's. */
export const encodedMp3: Mp3Format = { version: "2", sampleRate: 24_000, channels: 1 }

export const makeSpeechOutput = (format: SpokenFormat): SpeechOutput => {
  if (format === "pcm") return { format }
  let first: Mp3Format | undefined
  return {
    format,
    mp3: (found) => {
      first ??= found
      return first
    },
  }
}
