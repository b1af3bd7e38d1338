import { Effect } from "effect"
import { NoSpeechDetected } from "./errors.ts"
import { bytesPerSecond, type Pcm16k } from "./pcm.ts"

/** The usual frame of voice detectors: two periods of a deep voice, and less than a syllable. */
const frameMs = 30
const frameBytes = (bytesPerSecond * frameMs) / 1000

/** Full scale of a 16-bit sample. */
const fullScale = 32_768

/** Whether any 30 ms frame is louder than `dbfs`: its root mean square, in dB relative to full scale. */
const isLouderThan = (samples: Uint8Array, dbfs: number): boolean => {
  const view = new DataView(samples.buffer, samples.byteOffset, samples.byteLength)
  const minimum = (fullScale * 10 ** (dbfs / 20)) ** 2
  for (let start = 0; start + 1 < samples.length; start += frameBytes) {
    const end = Math.min(start + frameBytes, samples.length - 1)
    let energy = 0
    let count = 0
    for (let at = start; at < end; at += 2) {
      energy += view.getInt16(at, true) ** 2
      count += 1
    }
    if (energy > minimum * count) return true
  }
  return false
}

/**
 * Rejects a recording without a 30 ms frame louder than `dbfs`, before a recognizer is paid for it. Whisper invents text
 * for silence. A `dbfs` of 0 accepts every recording.
 */
export const rejectSilence = ({ bytes }: Pcm16k, dbfs: number): Effect.Effect<void, NoSpeechDetected> =>
  dbfs === 0 || isLouderThan(bytes, dbfs) ? Effect.void : new NoSpeechDetected()
