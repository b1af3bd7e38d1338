import { frameAt } from "./mp3-frame.ts"
import type { SpokenFormat } from "./speech-joiner.ts"

/** The header of an MP3 frame of 24 kHz mono at 32 kbit/s: 96 bytes that play for 24 ms. */
const FRAME_HEADER = Uint8Array.of(0xff, 0xf3, 0x44, 0xc0)

const mp3Frame = (): Uint8Array => {
  // A frame whose side information is zeros decodes to silence.
  const frame = new Uint8Array(frameAt(FRAME_HEADER, 0)?.bytes ?? 0)
  frame.set(FRAME_HEADER)
  return frame
}

/** About 0.2 s of silence at 24 kHz mono: 216 ms as MP3, 200 ms as samples. */
export const shortSilence = (format: SpokenFormat): Uint8Array =>
  format === "mp3" ? Buffer.concat(Array.from({ length: 9 }, mp3Frame)) : new Uint8Array(9600)
