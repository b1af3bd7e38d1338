/**
 * The frames of one request to Silero's process, and its answer:
 *
 *     (u32 stream × 2 + isFirst) × n | (512 × i16) × n        f32 × n
 *
 * All little-endian, like the machines that this runs on.
 */
import { frameSamples } from "../frame.ts"

export interface BatchFrame {
  /** A number that no other open stream has. Those of closed streams are used again. */
  readonly stream: number
  /** Nothing before it counts. */
  readonly isFirst: boolean
  readonly samples: Int16Array
}

const headBytes = 4
const sampleBytes = 2 * frameSamples

export const encodeBatch = (frames: ReadonlyArray<BatchFrame>): Uint8Array => {
  const buffer = new ArrayBuffer(frames.length * (headBytes + sampleBytes))
  const heads = new Uint32Array(buffer, 0, frames.length)
  const samples = new Int16Array(buffer, frames.length * headBytes)
  frames.forEach((frame, index) => {
    heads[index] = frame.stream * 2 + (frame.isFirst ? 1 : 0)
    samples.set(frame.samples, index * frameSamples)
  })
  return new Uint8Array(buffer)
}

export const decodeBatch = (bytes: Uint8Array): ReadonlyArray<BatchFrame> => {
  // A copy, because numbers start at a multiple of their size.
  const { buffer } = bytes.slice()
  const count = Math.floor(bytes.length / (headBytes + sampleBytes))
  const samples = new Int16Array(buffer, count * headBytes)
  return Array.from(new Uint32Array(buffer, 0, count), (head, index) => ({
    stream: head >>> 1,
    isFirst: head % 2 === 1,
    samples: samples.subarray(index * frameSamples, (index + 1) * frameSamples),
  }))
}

export const encodeProbabilities = (probabilities: Float32Array): Uint8Array =>
  new Uint8Array(probabilities.buffer, probabilities.byteOffset, probabilities.byteLength)

/** One for each frame of the batch. */
export const decodeProbabilities = (bytes: Uint8Array): Float32Array => new Float32Array(bytes.slice().buffer)
