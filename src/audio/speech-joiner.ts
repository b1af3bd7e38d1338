import type { SpeechFormat } from "../schema.ts"
import { makeMp3Joiner } from "./mp3.ts"
import { makePcmJoiner } from "./pcm-joiner.ts"

/** A format of speech: one continuous MP3, or 24 kHz mono 16-bit little-endian samples. */
export type SpokenFormat = Exclude<SpeechFormat, "none">

/** Audio that can be played as it is: whole frames or whole samples. */
export interface JoinedAudio {
  readonly bytes: Uint8Array
  /** Playing time of `bytes`. A fraction of a millisecond is kept, so that sums do not drift. */
  readonly ms: number
}

/** Joins the audio of segments, in order, into one continuous stream. */
export interface SpeechJoiner {
  /** Takes a chunk of the current segment and returns what is complete. No later call changes the result. */
  readonly push: (chunk: Uint8Array) => JoinedAudio
  /** Ends the segment. Returns what only its end confirms, and drops an incomplete frame or sample. */
  readonly endSegment: () => JoinedAudio
}

/** `mp3`: as `makeMp3Joiner` takes it. Joiners that share it make parts of one stream. */
export const makeSpeechJoiner = (
  format: SpokenFormat,
  mp3?: Parameters<typeof makeMp3Joiner>[0],
): SpeechJoiner => (format === "mp3" ? makeMp3Joiner(mp3) : makePcmJoiner())
