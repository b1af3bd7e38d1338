import { availableParallelism } from "node:os"
import type { OfflineRecognizer, OfflineRecognizerModel } from "sherpa-onnx-node"
import { sampleRate } from "../../../audio/pcm.ts"
import type { SpeechModel } from "./hear.ts"
import { plausible } from "./plausible.ts"

const cores = Math.min(4, availableParallelism())

/** Moonshine's upper limit for English speech, as its own code has it. The other decoders have limits of their own. */
const moonshineTokensPerSecond = 6.5

type Files = (role: string) => string

const configOf = (modelConfig: OfflineRecognizerModel) => ({
  // Models with other features say so in their metadata.
  featConfig: { sampleRate, featureDim: 80 },
  modelConfig,
})

const create = async (model: OfflineRecognizerModel) => {
  const { OfflineRecognizer } = await import("sherpa-onnx-node")
  return OfflineRecognizer.createAsync(configOf(model))
}

const decode = async (recognizer: OfflineRecognizer, samples: Float32Array, tokensPerSecond: number) => {
  const stream = recognizer.createStream()
  stream.acceptWaveform({ sampleRate, samples })
  const { text, tokens } = await recognizer.decodeAsync(stream)
  return plausible(tokens, text, samples.length / sampleRate, tokensPerSecond)
}

/** Moonshine, version 1. More threads are not faster: 0.038 s per second of audio with one, 0.042 s with two. */
export const loadMoonshine = async (files: Files): Promise<SpeechModel> => {
  const recognizer = await create({
    moonshine: { encoder: files("encoder"), mergedDecoder: files("decoder") },
    tokens: files("tokens"),
    numThreads: 1,
  })
  return {
    transcribe: (samples) => decode(recognizer, samples, moonshineTokensPerSecond),
    parallel: cores,
  }
}

/** A transducer of NeMo, such as Parakeet TDT. It knows by itself which of its languages it hears. */
export const loadTransducer = async (files: Files): Promise<SpeechModel> => {
  const recognizer = await create({
    transducer: { encoder: files("encoder"), decoder: files("decoder"), joiner: files("joiner") },
    modelType: "nemo_transducer",
    tokens: files("tokens"),
    numThreads: cores,
  })
  return {
    transcribe: (samples) => decode(recognizer, samples, Number.POSITIVE_INFINITY),
    parallel: 1,
  }
}

/** Whisper. Its language is a setting of the whole recognizer, so one call runs at a time. */
export const loadWhisper = async (files: Files): Promise<SpeechModel> => {
  const modelFor = (language: string): OfflineRecognizerModel => ({
    whisper: { encoder: files("encoder"), decoder: files("decoder"), language, task: "transcribe" },
    tokens: files("tokens"),
    numThreads: cores,
  })
  const recognizer = await create(modelFor(""))
  let current = ""
  return {
    transcribe: (samples, language) => {
      if (language !== current) recognizer.setConfig(configOf(modelFor(language)))
      current = language
      return decode(recognizer, samples, Number.POSITIVE_INFINITY)
    },
    parallel: 1,
  }
}
