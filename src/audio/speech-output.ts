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

/**
 * The most audio that a text of so many UTF-16 units may become, in bytes: a minute, and 2 s for each unit. OpenAI speaks 15
 * characters a second, or 4 a second at its slowest `speed` (0.25). Chinese takes four times as long, and a symbol may
 * be two words. A second has 48,000 bytes of PCM, or up to 40,000 of MP3 (320 kbit/s).
 */
export const longestSpeechBytes = (format: SpokenFormat, characters: number): number =>
  (60 + 2 * characters) * (format === "pcm" ? 48_000 : 40_000)

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
