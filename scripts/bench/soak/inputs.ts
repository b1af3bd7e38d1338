/** What is sent to the service: recordings of each mark, and files that are no recording. */
import { notAudio } from "../../../test/support/audio-hostile.ts"
import { ffmpeg, ffmpegToFile } from "../../../test/support/ffmpeg.ts"
import { speechLike, wavOf } from "../../../test/support/wav.ts"
import { plans, secondsOf } from "./faults.ts"
import type { SaidAs } from "./mix.ts"

export interface Sayings {
  /** By its container and its mark. */
  readonly recordings: { readonly [container in Exclude<SaidAs, "text">]: ReadonlyArray<Uint8Array> }
  readonly bad: ReadonlyArray<Uint8Array>
}

export const makeSayings = async (): Promise<Sayings> => {
  const made = { WAV: [] as Uint8Array[], WebM: [] as Uint8Array[], MP3: [] as Uint8Array[] }
  for (const mark of plans.keys()) {
    const wav = wavOf(speechLike(secondsOf(mark)))
    made.WAV.push(wav)
    made.WebM.push(
      await ffmpeg(["-i", "pipe:0", "-c:a", "libopus", "-f", "webm", "-live", "1", "pipe:1"], wav),
    )
    // To a file: what an encoder adds at both ends is told in the header then, and left out by who decodes it.
    made.MP3.push(await ffmpegToFile(["-i", "pipe:0", "-c:a", "libmp3lame", "-b:a", "64k"], "a.mp3", wav))
  }
  return { recordings: made, bad: await Promise.all(Object.values(notAudio).map((make) => make())) }
}
