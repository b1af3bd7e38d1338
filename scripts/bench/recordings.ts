import { ffmpeg } from "../../test/support/ffmpeg.ts"
import { speechLike, wavOf } from "../../test/support/wav.ts"
import type { Load } from "./figures.ts"

const seconds = 5

/** The recordings: a WAV, and a WebM without a duration, as a browser's MediaRecorder writes it. */
export const makeRecordings = async (): Promise<Readonly<Record<Load["recording"], Uint8Array>>> => {
  const wav = wavOf(speechLike(seconds))
  const asWebm = ["-i", "pipe:0", "-c:a", "libopus", "-f", "webm", "-live", "1", "pipe:1"]
  return { WAV: wav, WebM: await ffmpeg(asWebm, wav) }
}
