/** Runs on the audio thread: the microphone as 24 kHz samples, in pieces of 40 ms. It goes on in a background tab. */
import { makeResampler } from "./resample.ts"

/** The globals of an AudioWorklet, which TypeScript's DOM library lacks. */
declare const sampleRate: number
declare const registerProcessor: (name: string, processor: new () => AudioWorkletProcessor) => void
declare class AudioWorkletProcessor {
  readonly port: MessagePort
}

const pieceSamples = 960

class Capture extends AudioWorkletProcessor {
  readonly #resample = makeResampler(sampleRate, 24_000)
  #piece = new Int16Array(pieceSamples)
  #filled = 0
  #isOver = false

  constructor() {
    super()
    this.port.onmessage = () => {
      this.#isOver = true
    }
  }

  /** Called for every 128 samples. There is no channel while no microphone is connected. */
  process(inputs: ReadonlyArray<ReadonlyArray<Float32Array>>): boolean {
    const channel = inputs[0]?.[0]
    if (channel === undefined) return !this.#isOver
    for (const sample of this.#resample(channel)) {
      this.#piece[this.#filled] = Math.round(Math.min(1, Math.max(-1, sample)) * 32_767)
      this.#filled += 1
      if (this.#filled === pieceSamples) this.#post()
    }
    return !this.#isOver
  }

  #post() {
    const { buffer } = this.#piece
    this.port.postMessage(this.#piece, [buffer])
    this.#piece = new Int16Array(pieceSamples)
    this.#filled = 0
  }
}

registerProcessor("capture", Capture)
