/** The part of the package that the engine uses. The package has no types. */
declare module "sherpa-onnx-node" {
  interface Waveform {
    readonly sampleRate: number
    /** Between -1 and 1. */
    readonly samples: Float32Array
  }

  interface OfflineStream {
    readonly acceptWaveform: (wave: Waveform) => void
  }

  /** One of the models, by paths. */
  interface OfflineRecognizerModel {
    readonly moonshine?: { readonly encoder: string; readonly mergedDecoder: string }
    readonly transducer?: { readonly encoder: string; readonly decoder: string; readonly joiner: string }
    /** `language` is a code of the model, or empty: detected. Another one ends the process. */
    readonly whisper?: {
      readonly encoder: string
      readonly decoder: string
      readonly language: string
      readonly task: "transcribe"
    }
    readonly modelType?: "nemo_transducer"
    readonly tokens: string
    readonly numThreads: number
  }

  interface OfflineRecognizerConfig {
    readonly featConfig: { readonly sampleRate: number; readonly featureDim: number }
    readonly modelConfig: OfflineRecognizerModel
  }

  class OfflineRecognizer {
    static createAsync(config: OfflineRecognizerConfig): Promise<OfflineRecognizer>
    /** Changes what the model allows to be changed. Not while a decode runs. */
    setConfig(config: OfflineRecognizerConfig): void
    createStream(): OfflineStream
    /** Runs on a thread of its own. */
    decodeAsync(
      stream: OfflineStream,
    ): Promise<{ readonly text: string; readonly tokens: ReadonlyArray<string> }>
  }

  /** One of the models, by paths. */
  interface OfflineTtsModel {
    readonly supertonic?: {
      readonly durationPredictor: string
      readonly textEncoder: string
      readonly vectorEstimator: string
      readonly vocoder: string
      readonly ttsJson: string
      readonly unicodeIndexer: string
      readonly voiceStyle: string
    }
    readonly pocket?: {
      readonly lmFlow: string
      readonly lmMain: string
      readonly encoder: string
      readonly decoder: string
      readonly textConditioner: string
      readonly vocabJson: string
      readonly tokenScoresJson: string
    }
  }

  interface GenerationConfig {
    /** The number of the speaker. One that the model does not have counts as 0. */
    readonly sid?: number
    readonly speed: number
    readonly numSteps: number
    readonly referenceAudio?: Float32Array
    readonly referenceSampleRate?: number
    /** Settings of one kind of model. */
    readonly extra: Readonly<Record<string, string | number>>
  }

  class OfflineTts {
    static createAsync(config: {
      readonly model: OfflineTtsModel & { readonly numThreads: number }
      readonly maxNumSentences: number
    }): Promise<OfflineTts>
    /** Hz. */
    readonly sampleRate: number
    /** Runs on a thread of its own. Rejects if there is no audio. A callback that returns 0 ends the generation. */
    generateAsync(request: {
      readonly text: string
      readonly enableExternalBuffer: boolean
      readonly generationConfig: GenerationConfig
      readonly onProgress: (part: { readonly samples: Float32Array }) => 0 | 1
    }): Promise<unknown>
  }

  /** Throws, or ends the process, if the file is no WAV of 16-bit samples. */
  function readWave(path: string, enableExternalBuffer: boolean): Waveform

  /** Silero VAD. Times and lengths of the settings are in seconds. */
  class Vad {
    constructor(
      config: {
        readonly sileroVad: {
          readonly model: string
          readonly threshold: number
          readonly minSpeechDuration: number
          readonly minSilenceDuration: number
          readonly maxSpeechDuration: number
          readonly windowSize: number
        }
        readonly sampleRate: number
        readonly numThreads: number
      },
      bufferSeconds: number,
    )
    acceptWaveform(samples: Float32Array): void
    flush(): void
    reset(): void
    isEmpty(): boolean
    isDetected(): boolean
    pop(): void
    /** `start` counts samples since the last reset. */
    front(enableExternalBuffer: boolean): { readonly start: number; readonly samples: Float32Array }
  }
}
