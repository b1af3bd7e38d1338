import type { Vad } from "sherpa-onnx-node"
import { sampleRate } from "../../../audio/pcm.ts"
import { makeLimit } from "./limit.ts"
import { type Span, windowsOf } from "./windows.ts"

/** A model that writes down up to 15 s of speech. */
export interface SpeechModel {
  /** The words in samples between -1 and 1. `language`: ISO 639-1, or empty: detected. */
  readonly transcribe: (samples: Float32Array, language: string) => Promise<string>
  /** Calls of `transcribe` at a time. */
  readonly parallel: number
}

/** Samples of one call of Silero VAD. */
const detectorWindow = 512

/** Between two pauses of the event loop: 32 ms of audio take 0.2 ms. */
const windowsPerTurn = 32

/**
 * The detector is handed to the next request at the first pause after this. It has one state, and one costs 11 MB and
 * 100 ms to make.
 */
const blockSamples = 20 * sampleRate

/** Speech without any pause. */
const maxBlockSamples = 60 * sampleRate

/** Full scale of a 16-bit sample. */
const fullScale = 32_768

/** Of 1. Moonshine hears quiet speech better when it is louder: 0.103 of the words wrong instead of 0.116. */
const peak = 0.9

const toFloat = (samples: Int16Array, gain: number): Float32Array =>
  Float32Array.from(samples, (sample) => sample * gain)

const amplified = (samples: Int16Array): Float32Array => {
  const highest = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 1)
  return toFloat(samples, peak / highest)
}

/** The speech in a block of samples from `start` on, and where the block ended. */
const detect = async (detector: Vad, samples: Int16Array, start: number, signal: AbortSignal) => {
  const speech: Array<Span> = []
  const collect = () => {
    while (!detector.isEmpty()) {
      const span = detector.front(false)
      speech.push({ start: start + span.start, end: start + span.start + span.samples.length })
      detector.pop()
    }
  }
  detector.reset()
  let at = start
  for (let windows = 1; at < samples.length; windows++) {
    const window = new Float32Array(detectorWindow)
    window.set(toFloat(samples.subarray(at, at + detectorWindow), 1 / fullScale))
    detector.acceptWaveform(window)
    at += detectorWindow
    collect()
    const block = at - start
    if (block >= maxBlockSamples || (block >= blockSamples && !detector.isDetected())) break
    if (windows % windowsPerTurn > 0) continue
    await Bun.sleep(0)
    signal.throwIfAborted()
  }
  detector.flush()
  collect()
  return { speech, end: Math.min(at, samples.length) }
}

/**
 * Puts Silero VAD, the file `detectorFile`, before a model. The result transcribes 16 kHz mono samples. Requests take turns
 * by blocks of the detector and by windows of the recognizer, so that a short one does not wait for the whole of a long one.
 */
export const makeHear = async (detectorFile: string, { transcribe, parallel }: SpeechModel) => {
  const { Vad } = await import("sherpa-onnx-node")
  const detector = new Vad(
    {
      sileroVad: {
        model: detectorFile,
        // Silero's own is 0.5; of 35 recordings of people, none was without speech at 0.4.
        threshold: 0.4,
        minSpeechDuration: 0.1,
        minSilenceDuration: 0.3,
        maxSpeechDuration: 2 * (maxBlockSamples / sampleRate),
        windowSize: detectorWindow,
      },
      sampleRate,
      numThreads: 1,
    },
    maxBlockSamples / sampleRate + 1,
  )
  const withDetector = makeLimit(1)
  const withRecognizer = makeLimit(parallel)

  return async (
    samples: Int16Array,
    language: string,
    signal: AbortSignal,
    onProgress: () => void,
  ): Promise<string> => {
    const transcribeAll = async (windows: ReadonlyArray<Span>) => {
      const remaining = windows.entries()
      const texts = Array<string>(windows.length).fill("")
      const work = async () => {
        for (const [index, { start, end }] of remaining) {
          signal.throwIfAborted()
          texts[index] = await withRecognizer(() =>
            transcribe(amplified(samples.subarray(start, end)), language),
          )
          onProgress()
        }
      }
      await Promise.all(Array.from({ length: parallel }, work))
      return texts
    }
    const heard: Array<string> = []
    for (let at = 0; at < samples.length; ) {
      signal.throwIfAborted()
      const block = await withDetector(() => detect(detector, samples, at, signal))
      onProgress()
      heard.push(...(await transcribeAll(windowsOf(block.speech, samples.subarray(0, block.end)))))
      at = block.end
    }
    return heard.filter((text) => text !== "").join(" ")
  }
}
