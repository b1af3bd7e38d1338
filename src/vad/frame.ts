import { sampleRate } from "../audio/pcm.ts"

/** Samples of one frame, 32 ms at 16 kHz: what Silero takes at once. */
export const frameSamples = 512

export const frameMs = (frameSamples / sampleRate) * 1000

/** Cuts samples into frames. A frame is passed on in an array of its own. */
export const makeFramer = (onFrame: (frame: Int16Array) => void) => {
  let frame = new Int16Array(frameSamples)
  let filled = 0
  return {
    push: (samples: Int16Array) => {
      for (let at = 0; at < samples.length; ) {
        const part = samples.subarray(at, at + frameSamples - filled)
        frame.set(part, filled)
        filled += part.length
        at += part.length
        if (filled < frameSamples) return
        const full = frame
        frame = new Int16Array(frameSamples)
        filled = 0
        onFrame(full)
      }
    },
    /** Drops the samples of an incomplete frame. */
    reset: () => {
      filled = 0
    },
  }
}
