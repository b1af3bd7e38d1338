/** Full scale of a 16-bit sample. */
const fullScale = 32_768

/** The root mean square of samples around their mean, in dB relative to full scale; -120 for silence. */
export const levelOf = (samples: Int16Array): number => {
  let sum = 0
  let squares = 0
  // It runs for every frame, and an iterator takes ten times as long.
  for (let at = 0; at < samples.length; at++) {
    const sample = samples[at] ?? 0
    sum += sample
    squares += sample * sample
  }
  const mean = sum / samples.length
  const power = squares / samples.length - mean * mean
  return Math.max(-120, 10 * Math.log10(power / fullScale ** 2 + 1e-12))
}

/** Below this, in dBFS, nothing is speech. */
const quietest = -50

/** The noise floor of a stream before its first second, in dBFS. */
const firstFloor = -60

/** Frames of about 1 s. Speech has softer moments within it, steady noise has not. */
const blockFrames = 32

/** How far above the floor a frame is as likely speech as not, and how far apart 27 % and 73 % are, in dB. */
const [middle, width] = [12, 3]

/**
 * How likely a frame is speech, by its loudness alone: the detector where Silero cannot run. The noise floor is the softest
 * frame of the last one to two seconds, so steady noise is taken for speech for so long at most. Music, clicks and coughs
 * are not told from speech.
 */
export const makeEnergyDetector = () => {
  let before = firstFloor
  let current = Number.POSITIVE_INFINITY
  let frames = 0
  return (level: number): number => {
    if (frames === blockFrames) {
      before = current
      current = level
      frames = 0
    }
    frames += 1
    current = Math.min(current, level)
    if (level < quietest) return 0
    return 1 / (1 + Math.exp((middle - (level - Math.min(before, current))) / width))
  }
}
