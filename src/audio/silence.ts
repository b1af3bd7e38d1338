import { Effect } from "effect"
import { NoSpeechDetected } from "./errors.ts"
import { bytesPerSecond, type Pcm16k } from "./pcm.ts"

/** The usual frame of voice detectors: two periods of a deep voice, and less than a syllable. */
const frameMs = 30
const frameBytes = (bytesPerSecond * frameMs) / 1000

/** Full scale of a 16-bit sample. */
const fullScale = 32_768

/** A click, and the edge of an offset, is in one frame. The shortest word takes more than 60 ms. */
const minLoudFrames = 2

/**
 * Whether consecutive 30 ms frames are louder than `dbfs`: their root mean square around their trend, in dB relative to
 * full scale. The trend is the line that fits the frame best: an offset and its drift are no sound.
 */
const isLouderThan = (samples: Uint8Array, dbfs: number): boolean => {
  const view = new DataView(samples.buffer, samples.byteOffset, samples.byteLength)
  const minimum = (fullScale * 10 ** (dbfs / 20)) ** 2
  let loudFrames = 0
  for (let start = 0; start + 1 < samples.length; start += frameBytes) {
    const count = Math.floor((Math.min(start + frameBytes, samples.length) - start) / 2)
    loudFrames = energyAroundTrend(view, start, count) > minimum * count ? loudFrames + 1 : 0
    if (loudFrames >= minLoudFrames) return true
  }
  return false
}

/** The sum of squares that is left of `count` samples once their least-squares line is subtracted. */
const energyAroundTrend = (view: DataView, start: number, count: number): number => {
  const middle = (count - 1) / 2
  let sum = 0
  let squares = 0
  let slope = 0
  for (let n = 0; n < count; n++) {
    const sample = view.getInt16(start + 2 * n, true)
    sum += sample
    squares += sample * sample
    slope += sample * (n - middle)
  }
  // The sum of squares of n - middle. 0 for a single sample.
  const spread = (count ** 3 - count) / 12
  return squares - sum ** 2 / count - (spread === 0 ? 0 : slope ** 2 / spread)
}

/**
 * Rejects a recording that is nowhere louder than `dbfs` for 60 ms, before a recognizer is paid for it. Whisper invents
 * text for silence. A `dbfs` of 0 accepts every recording.
 */
export const rejectSilence = ({ bytes }: Pcm16k, dbfs: number): Effect.Effect<void, NoSpeechDetected> =>
  dbfs === 0 || isLouderThan(bytes, dbfs) ? Effect.void : new NoSpeechDetected()
