import { encodeG711 } from "../audio/g711.ts"
import { toSamples } from "../audio/pcm.ts"
import { makePcmJoiner } from "../audio/pcm-joiner.ts"
import { makeResampler } from "../audio/resample.ts"
import type { AudioFormat } from "./protocol/session-config.ts"

/** A piece of a response's audio, as `response.output_audio.delta` has it. */
export interface AudioChunk {
  readonly base64: string
  /** Its length in milliseconds. */
  readonly ms: number
}

export interface OutputAudio {
  /** Takes the next bytes of the speech: 24 kHz mono 16-bit little-endian samples, cut anywhere. */
  readonly push: (bytes: Uint8Array) => ReadonlyArray<AudioChunk>
  /** The end of the speech: what is left of it. */
  readonly flush: () => ReadonlyArray<AudioChunk>
}

/** The longest chunk. Short ones stop soon at an interruption; each has about 300 bytes of JSON around it. */
const chunkMs = 200

const nothing = new Uint8Array(0)

/** Changes 24 kHz PCM to the bytes of the session's format. */
const makeEncoder = (format: AudioFormat) => {
  if (format.type === "audio/pcm") {
    return { bytesPerMs: 48, push: (bytes: Uint8Array) => bytes, flush: () => nothing }
  }
  const law = format.type === "audio/pcmu" ? "pcmu" : "pcma"
  const resampler = makeResampler(24_000, 8_000)
  return {
    bytesPerMs: 8,
    push: (bytes: Uint8Array) => encodeG711(law, resampler.push(toSamples(bytes))),
    flush: () => encodeG711(law, resampler.flush()),
  }
}

/** Writes one response's audio in the session's output format. Chunks have whole samples and at most 200 ms. */
export const makeOutputAudio = (format: AudioFormat): OutputAudio => {
  const encoder = makeEncoder(format)
  const chunkBytes = chunkMs * encoder.bytesPerMs
  const pcm = makePcmJoiner()

  const chunksOf = (bytes: Uint8Array): ReadonlyArray<AudioChunk> => {
    const chunks: Array<AudioChunk> = []
    for (let at = 0; at < bytes.length; at += chunkBytes) {
      const chunk = bytes.subarray(at, at + chunkBytes)
      chunks.push({ base64: chunk.toBase64(), ms: chunk.length / encoder.bytesPerMs })
    }
    return chunks
  }

  return {
    push: (bytes) => chunksOf(encoder.push(pcm.push(bytes).bytes)),
    flush: () => {
      pcm.endSegment()
      return chunksOf(encoder.flush())
    },
  }
}
