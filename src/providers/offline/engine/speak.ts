import { availableParallelism } from "node:os"
import type { GenerationConfig, OfflineTts, OfflineTtsModel } from "sherpa-onnx-node"
import { wavHeader } from "../../../audio/wav.ts"
import { makeLimit } from "./limit.ts"
import type { RunOptions } from "./run-options.ts"

/** Speaks a text: `onAudio` gets a WAV of unknown length as it is made. Rejects if there is no audio. */
export type Speak = (
  text: string,
  options: Required<RunOptions>,
  signal: AbortSignal,
  onAudio: (wav: Uint8Array) => void,
) => Promise<void>

const cores = Math.min(4, availableParallelism())

/** 16-bit samples of such between -1 and 1. */
const toPcm = (samples: Float32Array): Uint8Array => {
  const pcm = Int16Array.from(samples, (sample) => Math.max(-1, Math.min(1, sample)) * 32_767)
  return new Uint8Array(pcm.buffer)
}

const create = async (model: OfflineTtsModel) => {
  const sherpa = await import("sherpa-onnx-node")
  return sherpa.OfflineTts.createAsync({ model: { ...model, numThreads: cores }, maxNumSentences: 1 })
}

/**
 * One text at a time, on all cores: the first of several is heard sooner than if all shared them. A cancelled text in work
 * is left at the next callback, of which Supertonic has one: at the end of a text.
 */
const speakWith = (
  tts: OfflineTts,
  /** Seconds of silence after each text. */
  pause: number,
  configOf: (options: Required<RunOptions>) => GenerationConfig,
): Speak => {
  const withModel = makeLimit(1)
  return (text, options, signal, onAudio) =>
    withModel(async () => {
      signal.throwIfAborted()
      onAudio(wavHeader({ sampleRate: tts.sampleRate, channels: 1, bitsPerSample: 16 }))
      let count = 0
      await tts.generateAsync({
        text,
        enableExternalBuffer: false,
        generationConfig: configOf(options),
        onProgress: ({ samples }) => {
          if (signal.aborted) return 0
          count += samples.length
          onAudio(toPcm(samples))
          return 1
        },
      })
      signal.throwIfAborted()
      if (count === 0) throw new Error("the model gave no audio")
      onAudio(toPcm(new Float32Array(tts.sampleRate * pause)))
    })
}

/**
 * Seconds between two texts, as sherpa-onnx has between the parts of a long one: Supertonic puts no silence around its speech.
 */
const sentencePause = 0.3

/** Supertonic. It takes 5 steps by default, and 8 sound a little better. Its makers' usual speed is 1.05. */
export const loadSupertonic = async (files: (role: string) => string): Promise<Speak> => {
  const tts = await create({
    supertonic: {
      durationPredictor: files("durationPredictor"),
      textEncoder: files("textEncoder"),
      vectorEstimator: files("vectorEstimator"),
      vocoder: files("vocoder"),
      ttsJson: files("settings"),
      unicodeIndexer: files("characters"),
      voiceStyle: files("voices"),
    },
  })
  const numSteps = cores < 4 ? 5 : 8
  return speakWith(tts, sentencePause, ({ language, speaker }) => ({
    sid: speaker,
    speed: 1.05,
    numSteps,
    extra: { lang: language },
  }))
}

/** Seconds of a recording that make the voice: what sherpa-onnx's example of Pocket TTS takes. */
const recordingSeconds = 12

/** Pocket TTS, whose voices are recordings: WAV files. */
export const loadPocket = async (
  files: (role: string) => string,
  recordings: ReadonlyArray<string>,
): Promise<Speak> => {
  const tts = await create({
    pocket: {
      lmFlow: files("flow"),
      lmMain: files("main"),
      encoder: files("encoder"),
      decoder: files("decoder"),
      textConditioner: files("textConditioner"),
      vocabJson: files("vocabulary"),
      tokenScoresJson: files("scores"),
    },
  })
  const { readWave } = await import("sherpa-onnx-node")
  const voices = recordings.map((path) => readWave(path, false))
  return speakWith(tts, 0, ({ speaker }) => {
    const voice = voices[speaker] ?? voices[0]
    if (voice === undefined) throw new Error("there is no recording of a voice")
    return {
      speed: 1,
      numSteps: 5,
      referenceAudio: voice.samples,
      referenceSampleRate: voice.sampleRate,
      extra: { max_reference_audio_len: recordingSeconds },
    }
  })
}
