import { Effect } from "effect"
import { sampleRate } from "../ffmpeg/decoder.ts"
import type { Speech } from "../turn/transcode.ts"
import { NoSpeechDetected } from "./errors.ts"
import { WAV_HEADER_BYTES } from "./wav.ts"

/** As voice detectors have it: long enough for two periods of a deep voice, shorter than any syllable. */
const frameMs = 30
const frameBytes = ((sampleRate * frameMs) / 1000) * 2

/** Full scale of a 16-bit sample. */
const fullScale = 32_768

/**
 * Whether any 30 ms of these 16-bit samples (16 kHz mono, little-endian) are louder than `dbfs`, a level in dB below
 * full scale, as root mean square. Speech usually is so soon, and no more is read then.
 */
export const isLouderThan = (samples: Uint8Array, dbfs: number): boolean => {
  const view = new DataView(samples.buffer, samples.byteOffset, samples.byteLength)
  const enough = (fullScale * 10 ** (dbfs / 20)) ** 2
  for (let start = 0; start + 1 < samples.length; start += frameBytes) {
    const end = Math.min(start + frameBytes, samples.length - 1)
    let energy = 0
    let count = 0
    for (let at = start; at < end; at += 2) {
      energy += view.getInt16(at, true) ** 2
      count += 1
    }
    if (energy > enough * count) return true
  }
  return false
}

/**
 * Refuses a recording that is silent throughout before anyone is paid to hear that; Whisper would even make words of it.
 * `dbfs`: SILENCE_DBFS, where 0 lets everything pass.
 */
export const requireSound = ({ wav }: Speech, dbfs: number): Effect.Effect<void, NoSpeechDetected> =>
  dbfs === 0 || isLouderThan(wav.subarray(WAV_HEADER_BYTES), dbfs) ? Effect.void : new NoSpeechDetected()
