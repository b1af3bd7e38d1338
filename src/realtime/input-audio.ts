import { Either } from "effect"
import { decodeG711 } from "../audio/g711.ts"
import { sampleRate, toSamples } from "../audio/pcm.ts"
import { makePcmJoiner } from "../audio/pcm-joiner.ts"
import { makeResampler, type Resampler } from "../audio/resample.ts"
import { invalidRequest, type ProtocolError } from "./protocol/errors.ts"
import type { AudioFormat } from "./protocol/session-config.ts"

export interface InputAudio {
  /**
   * The 16 kHz samples of one base64 text. Bytes may be cut anywhere, also within a sample: a spare byte waits for the
   * next text. Fails for a text that is not base64, and then takes nothing of it. `param` is the field of the error.
   */
  readonly push: (base64: string, param?: string) => Either.Either<Int16Array, ProtocolError>
  /** The end of the audio: the samples still in the filter. A spare byte is dropped. */
  readonly flush: () => Int16Array
  /** Drops what is in the filter and a spare byte, as `input_audio_buffer.clear` does. */
  readonly clear: () => void
  /** Milliseconds of audio that were taken since the start, in whole samples. */
  readonly ms: () => number
}

const decodeBase64 = (text: string) => Either.try(() => Uint8Array.fromBase64(text))

/** Reads the audio that a client appends, in the session's input format. One per connection and format. */
export const makeInputAudio = (format: AudioFormat): InputAudio => {
  const rate = format.type === "audio/pcm" ? 24_000 : 8_000
  const pcm = makePcmJoiner()
  const samplesOf = (bytes: Uint8Array): Int16Array => {
    switch (format.type) {
      case "audio/pcm":
        return toSamples(pcm.push(bytes).bytes)
      case "audio/pcmu":
        return decodeG711("pcmu", bytes)
      case "audio/pcma":
        return decodeG711("pcma", bytes)
    }
  }
  let resampler: Resampler = makeResampler(rate, sampleRate)
  let received = 0
  return {
    push: (base64, param = "audio") =>
      Either.mapBoth(decodeBase64(base64), {
        onLeft: () =>
          invalidRequest(
            "invalid_base64",
            `Invalid '${param}': not base64. Send the bytes as base64.`,
            param,
          ),
        onRight: (bytes) => {
          const samples = samplesOf(bytes)
          received += samples.length
          return resampler.push(samples)
        },
      }),
    flush: () => {
      pcm.endSegment()
      return resampler.flush()
    },
    clear: () => {
      pcm.endSegment()
      resampler = makeResampler(rate, sampleRate)
    },
    ms: () => (received * 1_000) / rate,
  }
}
