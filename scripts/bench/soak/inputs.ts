/** What clients send: a recording of each mark, and files that are not recordings. */
import { notAudio } from "../../../test/support/audio-hostile.ts"
import { ffmpeg, ffmpegToFile } from "../../../test/support/ffmpeg.ts"
import { speechLike, wavOf } from "../../../test/support/wav.ts"
import { plans, secondsOf } from "./faults.ts"
import type { InputKind } from "./mix.ts"

type Recordings<A> = { readonly [container in Exclude<InputKind, "text">]: A }

export interface Inputs {
  /** By container and mark. */
  readonly recordings: Recordings<ReadonlyArray<Uint8Array>>
  readonly bad: ReadonlyArray<Uint8Array>
}

/** The recording of a mark in every container. */
export const recordingsOf = async (mark: number): Promise<Recordings<Uint8Array>> => {
  const wav = wavOf(speechLike(secondsOf(mark)))
  return {
    WAV: wav,
    WebM: await ffmpeg(["-i", "pipe:0", "-c:a", "libopus", "-f", "webm", "-live", "1", "pipe:1"], wav),
    // To a file: only then the header says how much the encoder added at both ends, and decoders remove it.
    MP3: await ffmpegToFile(["-i", "pipe:0", "-c:a", "libmp3lame", "-b:a", "64k"], "a.mp3", wav),
  }
}

export const makeInputs = async (): Promise<Inputs> => {
  const all: Array<Recordings<Uint8Array>> = []
  for (const mark of plans.keys()) all.push(await recordingsOf(mark))
  return {
    recordings: {
      WAV: all.map(({ WAV }) => WAV),
      WebM: all.map(({ WebM }) => WebM),
      MP3: all.map(({ MP3 }) => MP3),
    },
    bad: await Promise.all(Object.values(notAudio).map((make) => make())),
  }
}
