/** What clients send: a recording of each mark, and files that are not recordings. */
import { notAudio } from "../../../test/support/audio-hostile.ts"
import { ffmpeg, ffmpegToFile } from "../../../test/support/ffmpeg.ts"
import { speechLike, wavOf } from "../../../test/support/wav.ts"
import { plans, secondsOf } from "./faults.ts"
import type { InputKind } from "./mix.ts"

export interface Inputs {
  /** By container and mark. */
  readonly recordings: { readonly [container in Exclude<InputKind, "text">]: ReadonlyArray<Uint8Array> }
  readonly bad: ReadonlyArray<Uint8Array>
}

export const makeInputs = async (): Promise<Inputs> => {
  const made = { WAV: [] as Uint8Array[], WebM: [] as Uint8Array[], MP3: [] as Uint8Array[] }
  for (const mark of plans.keys()) {
    const wav = wavOf(speechLike(secondsOf(mark)))
    made.WAV.push(wav)
    made.WebM.push(
      await ffmpeg(["-i", "pipe:0", "-c:a", "libopus", "-f", "webm", "-live", "1", "pipe:1"], wav),
    )
    // To a file: only then the header says how much the encoder added at both ends, and decoders remove it.
    made.MP3.push(await ffmpegToFile(["-i", "pipe:0", "-c:a", "libmp3lame", "-b:a", "64k"], "a.mp3", wav))
  }
  return { recordings: made, bad: await Promise.all(Object.values(notAudio).map((make) => make())) }
}
