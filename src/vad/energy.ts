/** Full scale of a 16-bit sample. */
const fullScale = 32_768

/** The root mean square of samples around their mean, in dB relative to full scale; -120 for silence. */
export const levelOf = (samples: Int16Array): number => {
  let sum = 0
  let squares = 0
  for (const sample of samples) {
    sum += sample
    squares += sample * sample
  }
  const mean = sum / samples.length
  const power = squares / samples.length - mean * mean
  return Math.max(-120, 10 * Math.log10(power / fullScale ** 2 + 1e-12))
}

/** Below this, in dBFS, nothing is speech. */
const quietest = -50

/** The noise floor of a stream before its first frame, in dBFS. */
const firstFloor = -60

/** How fast the floor follows louder sound, in dB per frame: 3 dB per second, so that a sentence is not taken for noise. */
const rise = 0.1

/** How far above the floor a frame is as likely speech as not, and how far apart 27 % and 73 % are, in dB. */
const [middle, width] = [12, 3]

/**
 * How likely a frame is speech, by its loudness alone: the detector where Silero cannot run. Steady noise raises the floor
 * and is not taken for speech; other loud sound is, music and clicks among it.
 */
export const makeEnergyDetector = () => {
  let floor = firstFloor
  return (samples: Int16Array): number => {
    const level = levelOf(samples)
    floor = level < floor ? level : Math.min(level, floor + rise)
    if (level < quietest) return 0
    return 1 / (1 + Math.exp((middle - (level - floor)) / width))
  }
}
