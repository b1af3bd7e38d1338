import { Effect, Either } from "effect"
import { decodeG711 } from "../audio/g711.ts"
import { type Pcm16k, pcm16k, sampleRate, toSamples } from "../audio/pcm.ts"
import { makePcmJoiner } from "../audio/pcm-joiner.ts"
import { makeResampler, type Resampler } from "../audio/resample.ts"
import { nextEvents } from "../event-loop.ts"
import { invalidRequest, type ProtocolError } from "./protocol/errors.ts"
import type { AudioFormat } from "./protocol/session-config.ts"

export interface InputAudio {
  /** The 16 kHz samples of bytes, which may be cut anywhere, also within a sample: a spare byte waits for the next ones. */
  readonly push: (bytes: Uint8Array) => Int16Array
  /** The end of the audio: the samples still in the filter. A spare byte is dropped. */
  readonly flush: () => Int16Array
  /** Drops what is in the filter and a spare byte, as `input_audio_buffer.clear` does. */
  readonly clear: () => void
  /** Milliseconds of audio that were taken since the start, in whole samples. */
  readonly ms: () => number
}

/** The bytes of a base64 text. `param`: the field of the error for a text that is none. */
export const readBase64 = (base64: string, param = "audio"): Either.Either<Uint8Array, ProtocolError> =>
  Either.try({
    try: () => Uint8Array.fromBase64(base64),
    catch: () =>
      invalidRequest("invalid_base64", `Invalid '${param}': not base64. Send the bytes as base64.`, param),
  })

/** Bytes of one second of audio. */
export const bytesPerSecondOf = ({ type }: AudioFormat): number => (type === "audio/pcm" ? 48_000 : 8_000)

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
    push: (bytes) => {
      const samples = samplesOf(bytes)
      received += samples.length
      return resampler.push(samples)
    },
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

/** Pieces of speech whose samples are made at a time: five minutes take half a second. */
const piecesInARow = 8

/** The speech in parts that follow each other, each of any length. Other connections get their turn meanwhile. */
export const speechFrom = (format: AudioFormat, parts: ReadonlyArray<Uint8Array>): Effect.Effect<Pcm16k> =>
  Effect.promise(async () => {
    const input = makeInputAudio(format)
    const piece = bytesPerSecondOf(format)
    const samples: Array<Int16Array> = []
    for (const part of parts) {
      for (let at = 0; at < part.length; at += piece) {
        samples.push(input.push(part.subarray(at, at + piece)))
        if (samples.length % piecesInARow === 0) await nextEvents()
      }
    }
    samples.push(input.flush())
    return pcm16k(
      Buffer.concat(
        samples.map(({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength)),
      ),
    )
  })
