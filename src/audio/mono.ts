/** A mix is "far quieter" than its loudest channel from here: a quarter of the energy, 6 dB. */
const cancelled = 1 / 4
/** Another channel becomes the leader with twice the leader's energy, so that equal channels do not take turns. */
const takesOver = 2

/** The sums that give the variance of samples: their energy around their mean, because an offset is no sound. */
interface Level {
  sum: number
  squares: number
}
const variance = ({ sum, squares }: Level, samples: number) => Math.max(0, squares - (sum * sum) / samples)

export interface MonoMix {
  /** Takes the next bytes of the interleaved 16-bit little-endian samples. They may be cut anywhere. */
  readonly push: (bytes: Uint8Array) => void
  /** Samples per channel so far. */
  readonly length: () => number
  /** The mono samples of all that was pushed. */
  readonly samples: () => Uint8Array
}

/**
 * Mixes `channels` to one that is as loud as the loudest of them: a voice in one channel keeps its level beside silent
 * ones. If the channels cancel each other, as in opposite phase, the loudest channel is taken alone. The level is that
 * of the whole recording. Knows no layout: a channel is a channel.
 */
export const makeMonoMix = (channels: number): MonoMix => (channels === 1 ? makeSame() : makeMix(channels))

const makeSame = (): MonoMix => {
  const chunks: Array<Uint8Array> = []
  let bytes = 0
  return {
    push: (chunk) => {
      chunks.push(chunk)
      bytes += chunk.length
    },
    length: () => Math.floor(bytes / 2),
    samples: () => Buffer.concat(chunks, bytes - (bytes % 2)),
  }
}

const makeMix = (channels: number): MonoMix => {
  const frameBytes = 2 * channels
  const levels: ReadonlyArray<Level> = Array.from({ length: channels }, () => ({ sum: 0, squares: 0 }))
  const mixLevel: Level = { sum: 0, squares: 0 }
  /** Of each chunk: the sums of the channels, and the samples of the channel that led then. */
  const parts: Array<{ readonly sums: Int32Array; readonly leading: Int16Array }> = []
  let carry = new Uint8Array(0)
  let length = 0
  let leader = 0

  const varianceOf = (channel: number) => variance(levels[channel] ?? mixLevel, length)
  const loudest = () => levels.reduce((best, _, channel) => Math.max(best, varianceOf(channel)), 0)

  const push = (bytes: Uint8Array) => {
    // A copy, because 16-bit views start at even addresses.
    const data = new Uint8Array(carry.length + bytes.length)
    data.set(carry)
    data.set(bytes, carry.length)
    const frames = Math.floor(data.length / frameBytes)
    carry = data.slice(frames * frameBytes)
    if (frames === 0) return
    const interleaved = new Int16Array(data.buffer, 0, frames * channels)
    const sums = new Int32Array(frames)
    for (const [channel, level] of levels.entries()) addChannel(interleaved, channel, channels, level, sums)
    measure(sums, mixLevel)
    length += frames
    const best = levels.reduce((best, _, at) => (varianceOf(at) > varianceOf(best) ? at : best), leader)
    if (varianceOf(best) > takesOver * varianceOf(leader)) leader = best
    const leading = new Int16Array(frames)
    for (let n = 0; n < frames; n++) leading[n] = interleaved[n * channels + leader] ?? 0
    parts.push({ sums, leading })
  }

  const samples = () => {
    const mono = new Int16Array(length)
    const level = loudest()
    const mixed = variance(mixLevel, length)
    const isCancelled = mixed < level * cancelled
    const gain = level === 0 ? 1 / channels : Math.min(1, Math.max(1 / channels, Math.sqrt(level / mixed)))
    let at = 0
    for (const { sums, leading } of parts) {
      if (isCancelled) mono.set(leading, at)
      else scale(sums, gain, mono, at)
      at += sums.length
    }
    return new Uint8Array(mono.buffer)
  }

  return { push, length: () => length, samples }
}

const addChannel = (
  interleaved: Int16Array,
  channel: number,
  channels: number,
  level: Level,
  sums: Int32Array,
) => {
  let sum = 0
  let squares = 0
  for (let n = 0, at = channel; n < sums.length; n++, at += channels) {
    const sample = interleaved[at] ?? 0
    sum += sample
    squares += sample * sample
    sums[n] = (sums[n] ?? 0) + sample
  }
  level.sum += sum
  level.squares += squares
}

const measure = (samples: Int32Array, level: Level) => {
  let sum = 0
  let squares = 0
  for (let n = 0; n < samples.length; n++) {
    const sample = samples[n] ?? 0
    sum += sample
    squares += sample * sample
  }
  level.sum += sum
  level.squares += squares
}

const scale = (sums: Int32Array, gain: number, to: Int16Array, from: number) => {
  for (let n = 0; n < sums.length; n++) {
    const sample = Math.floor((sums[n] ?? 0) * gain + 0.5)
    to[from + n] = Math.max(-32_768, Math.min(32_767, sample))
  }
}
