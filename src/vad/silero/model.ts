import { sampleRate } from "../../audio/pcm.ts"
import { frameSamples } from "../frame.ts"
import type { BatchFrame } from "./batch.ts"
import { loadOnnxModel } from "./onnxruntime.ts"

/** Absolute paths. */
export interface SileroFiles {
  readonly model: string
  /** The shared library of ONNX Runtime. */
  readonly runtime: string
}

/** Samples of the frame before that Silero 5 takes with each frame. */
const contextSamples = 64
const inputSamples = contextSamples + frameSamples

/** The state is two vectors for each stream. */
const stateSize = 128

/** Streams of one run. More are not faster: 1.0 ms of CPU per second of audio at 16 to 64, 1.6 at 128. */
const maxRows = 64

/** Full scale of a 16-bit sample. */
const fullScale = 32_768

/** What the model remembers of a stream: 1.3 KB. */
interface Memory {
  readonly state: Float32Array
  readonly context: Float32Array
}

/** Memory that ONNX Runtime works on. An ArrayBuffer of its own is never moved. */
const floats = (length: number) => new Float32Array(new ArrayBuffer(length * 4))

/** Loads Silero. The result gives the probability of speech for each frame; those of one stream are in order. */
export const loadSilero = async ({ model, runtime }: SileroFiles) => {
  const onnx = loadOnnxModel(runtime, new Uint8Array(await Bun.file(model).arrayBuffer()))
  const input = floats(maxRows * inputSamples)
  const states = floats(2 * maxRows * stateSize)
  const output = floats(maxRows)
  const nextStates = floats(2 * maxRows * stateSize)
  const rate = new BigInt64Array(new ArrayBuffer(8))
  rate[0] = BigInt(sampleRate)
  const rateTensor = onnx.tensor({ data: rate, type: "i64", shape: [] })

  const bindRows = (rows: number) =>
    onnx.bind(
      {
        input: onnx.tensor({ data: input, type: "f32", shape: [rows, inputSamples] }),
        state: onnx.tensor({ data: states, type: "f32", shape: [2, rows, stateSize] }),
        sr: rateTensor,
      },
      {
        output: onnx.tensor({ data: output, type: "f32", shape: [rows, 1] }),
        stateN: onnx.tensor({ data: nextStates, type: "f32", shape: [2, rows, stateSize] }),
      },
    )
  const runs = new Map<number, () => void>()
  const runOf = (rows: number) => {
    const known = runs.get(rows)
    if (known !== undefined) return known
    const run = bindRows(rows)
    runs.set(rows, run)
    return run
  }

  const memories = new Map<number, Memory>()
  const memoryOf = ({ stream, isFirst }: BatchFrame): Memory => {
    const known = isFirst ? undefined : memories.get(stream)
    if (known !== undefined) return known
    const memory = { state: new Float32Array(2 * stateSize), context: new Float32Array(contextSamples) }
    memories.set(stream, memory)
    return memory
  }

  /** At most `maxRows` frames, each of another stream. */
  const runRows = (frames: ReadonlyArray<BatchFrame>) => {
    const rows = frames.map(memoryOf)
    rows.forEach(({ state, context }, row) => {
      const at = row * inputSamples
      input.set(context, at)
      const samples = frames[row]?.samples ?? []
      for (let index = 0; index < samples.length; index++) {
        input[at + contextSamples + index] = (samples[index] ?? 0) / fullScale
      }
      context.set(input.subarray(at + frameSamples, at + inputSamples))
      states.set(state.subarray(0, stateSize), row * stateSize)
      states.set(state.subarray(stateSize), (rows.length + row) * stateSize)
    })
    runOf(rows.length)()
    rows.forEach(({ state }, row) => {
      state.set(nextStates.subarray(row * stateSize, (row + 1) * stateSize))
      const second = (rows.length + row) * stateSize
      state.set(nextStates.subarray(second, second + stateSize), stateSize)
    })
  }

  return (frames: ReadonlyArray<BatchFrame>): Float32Array => {
    const probabilities = new Float32Array(frames.length)
    /** The first frames of all streams, then the second ones, and so on. */
    const rounds: Array<Array<number>> = []
    const seen = new Map<number, number>()
    frames.forEach(({ stream }, index) => {
      const round = seen.get(stream) ?? 0
      seen.set(stream, round + 1)
      const members = rounds[round] ?? []
      members.push(index)
      rounds[round] = members
    })
    for (const members of rounds) {
      for (let at = 0; at < members.length; at += maxRows) {
        const part = members.slice(at, at + maxRows)
        runRows(part.flatMap((index) => frames[index] ?? []))
        part.forEach((index, row) => {
          probabilities[index] = output[row] ?? 0
        })
      }
    }
    return probabilities
  }
}
