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

  class OfflineRecognizer {
    static createAsync(config: {
      readonly featConfig: { readonly sampleRate: number; readonly featureDim: number }
      readonly modelConfig: {
        readonly moonshine: { readonly encoder: string; readonly mergedDecoder: string }
        readonly tokens: string
        readonly numThreads: number
      }
    }): Promise<OfflineRecognizer>
    createStream(): OfflineStream
    /** Runs on a thread of its own. */
    decodeAsync(
      stream: OfflineStream,
    ): Promise<{ readonly text: string; readonly tokens: ReadonlyArray<string> }>
  }

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
