import { makeResampler } from "./resample.ts"
import { newAnalyser } from "./sound.ts"

/** Of the replies, in Hz. */
const replyRate = 24_000
/** Before the first sound, so that the second piece arrives in time. In seconds, like the next one. */
const lead = 0.04
/** A sound that ends within a period clicks. */
const fade = 0.008
/** A piece that arrives later than this before the end of the last one plays after a gap. */
const margin = 0.005

/** Samples of silence that push the end of a reply through the resampler. */
const tail = 32

/** A part of a reply that plays without a break. In frames of the context. */
interface Stretch {
  readonly itemId: string
  readonly start: number
  readonly end: number
}

/** Plays replies on the audio clock: no timer is involved, so a background tab plays as well. */
export interface Speaker {
  readonly analyser: AnalyserNode
  /** Appends 24 kHz samples of a reply. */
  readonly play: (itemId: string, samples: Int16Array) => void
  /** The reply has no more samples. */
  readonly end: (itemId: string) => void
  /** How much of a reply has been played, in ms. Infinity: all that there was. */
  readonly playedMs: (itemId: string) => number
  /** Stops at once. */
  readonly stop: () => void
}

export const makeSpeaker = (context: AudioContext): Speaker => {
  const { sampleRate } = context
  const analyser = newAnalyser(context)
  analyser.connect(context.destination)
  let output = new GainNode(context)
  output.connect(analyser)
  let sources: ReadonlySet<AudioBufferSourceNode> = new Set()
  let stretches: ReadonlyArray<Stretch> = []
  let current: string | undefined
  let resample = makeResampler(replyRate, sampleRate)

  const frameNow = () => context.currentTime * sampleRate

  const start = (samples: Float32Array<ArrayBuffer>, frame: number) => {
    const buffer = context.createBuffer(1, samples.length, sampleRate)
    buffer.copyToChannel(samples, 0)
    const source = new AudioBufferSourceNode(context, { buffer })
    source.connect(output)
    source.start(frame / sampleRate)
    sources = new Set([...sources, source])
    source.onended = () => {
      source.disconnect()
      sources = new Set([...sources].filter((each) => each !== source))
    }
  }

  const play = (itemId: string, samples: Int16Array) => {
    if (itemId !== current) resample = makeResampler(replyRate, sampleRate)
    current = itemId
    const converted = new Float32Array(resample(Float32Array.from(samples, (each) => each / 0x8000)))
    if (converted.length === 0) return
    const now = frameNow()
    const last = stretches.at(-1)
    const follows = last !== undefined && last.end > now + margin * sampleRate ? last : undefined
    const begin = follows?.end ?? Math.ceil(now + lead * sampleRate)
    const end = begin + converted.length
    start(converted, begin)
    if (follows?.itemId === itemId) stretches = [...stretches.slice(0, -1), { ...follows, end }]
    else {
      const needed = stretches.filter((each) => each.itemId === itemId || each.end > now)
      stretches = [...needed, { itemId, start: begin, end }]
    }
  }

  return {
    analyser,
    play,
    end: (itemId) => {
      if (itemId === current) play(itemId, new Int16Array(tail))
    },
    playedMs: (itemId) => {
      const own = stretches.filter((each) => each.itemId === itemId)
      const now = frameNow()
      if (own.every(({ end }) => end <= now)) return Number.POSITIVE_INFINITY
      const frames = own.reduce((sum, { start, end }) => sum + Math.max(0, Math.min(now, end) - start), 0)
      return (frames / sampleRate) * 1000
    },
    stop: () => {
      const end = context.currentTime + fade
      output.gain.setValueAtTime(1, context.currentTime)
      output.gain.linearRampToValueAtTime(0, end)
      for (const source of sources) source.stop(end)
      stretches = []
      current = undefined
      output = new GainNode(context)
      output.connect(analyser)
    },
  }
}
