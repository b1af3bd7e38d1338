import { apply, floats, integers, onnx, type Value } from "./onnx.ts"

/** Hz. */
export const sampleRate = 44_100

/** Samples of one step of the latent: every speaker has whole periods in it. */
const chunk = 128

/** Speakers, as the real model has. */
export const speakers = 10

/** Hz. */
export const frequencyOf = (speaker: number): number => ((speaker + 1) * sampleRate) / chunk

/** In seconds. */
export const secondsPerCharacter = 0.05

const value = (name: string, type: Value["type"], ...shape: Value["shape"]): Value => ({ name, type, shape })

const text = [
  value("text_ids", "int64", 1, "characters"),
  value("style", "float", 1, 1, 1),
  value("text_mask", "float", 1, 1, "characters"),
]

const durationPredictor = onnx({
  inputs: text,
  outputs: [value("duration", "float", 1)],
  constants: { rate: floats([1], [secondsPerCharacter]), one: integers(1) },
  nodes: [
    apply("ReduceSum", ["text_mask"], "characters", { keepdims: 0 }),
    apply("Mul", ["characters", "rate"], "seconds"),
    apply("Reshape", ["seconds", "one"], "duration"),
  ],
})

const textEncoder = onnx({
  inputs: text,
  outputs: [value("text_emb", "float", 1, 1, "characters")],
  nodes: [apply("Identity", ["text_mask"], "text_emb")],
})

/** The latent is the speaker's style. `work`: the side of a matrix that is multiplied by itself at each of the steps. */
const vectorEstimator = (work: number) =>
  onnx({
    inputs: [
      value("noisy_latent", "float", 1, 1, "steps"),
      value("text_emb", "float", 1, 1, "characters"),
      value("style", "float", 1, 1, 1),
      value("latent_mask", "float", 1, 1, "steps"),
      value("text_mask", "float", 1, 1, "characters"),
      value("current_step", "float", 1),
      value("total_step", "float", 1),
    ],
    outputs: [value("denoised", "float", 1, 1, "steps")],
    constants: { zero: floats([1], [0]), square: integers(work, work) },
    nodes: [
      // Of an input, so that it is not computed when the model is loaded.
      apply("Expand", ["current_step", "square"], "matrix"),
      apply("MatMul", ["matrix", "matrix"], "product"),
      apply("ReduceMax", ["product"], "most", { keepdims: 0 }),
      apply("Mul", ["most", "zero"], "nothing"),
      apply("Mul", ["noisy_latent", "zero"], "silence"),
      apply("Add", ["silence", "nothing"], "still"),
      apply("Add", ["still", "style"], "denoised"),
    ],
  })

/** A sine whose frequency is the latent. */
const vocoder = onnx({
  inputs: [value("latent", "float", 1, 1, "steps")],
  outputs: [value("wav", "float", 1, "samples")],
  constants: {
    column: integers(1, -1, 1),
    row: integers(1, -1),
    loudness: floats([1], [0.3]),
    phase: floats(
      [1, 1, chunk],
      Array.from({ length: chunk }, (_, at) => at),
    ),
  },
  nodes: [
    apply("Reshape", ["latent", "column"], "tall"),
    apply("Mul", ["tall", "phase"], "angles"),
    apply("Sin", ["angles"], "sine"),
    apply("Mul", ["sine", "loudness"], "loud"),
    apply("Reshape", ["loud", "row"], "wav"),
  ],
})

/** Every speaker's style is the angle by which its sine moves from sample to sample. */
const voices = () => {
  const shape = BigInt64Array.from([BigInt(speakers), 1n, 1n])
  const styles = Float32Array.from({ length: speakers }, (_, index) => (2 * Math.PI * (index + 1)) / chunk)
  return Buffer.concat([shape, shape, styles, styles].map((array) => new Uint8Array(array.buffer)))
}

/**
 * A model in the form of Supertonic: each speaker is a sine of `frequencyOf`, and says a character in
 * `secondsPerCharacter`. `work` above 1000 makes it slow. The keys are the names of the files.
 */
export const supertonic = ({ work = 1 } = {}): Readonly<Record<string, Uint8Array>> => ({
  "duration_predictor.int8.onnx": durationPredictor,
  "text_encoder.int8.onnx": textEncoder,
  "vector_estimator.int8.onnx": vectorEstimator(work),
  "vocoder.int8.onnx": vocoder,
  "tts.json": new TextEncoder().encode(
    JSON.stringify({
      ae: { sample_rate: sampleRate, base_chunk_size: chunk },
      ttl: { chunk_compress_factor: 1, latent_dim: 1 },
    }),
  ),
  "unicode_indexer.bin": new Uint8Array(Int32Array.from({ length: 65_536 }, (_, code) => code).buffer),
  "voice.bin": voices(),
})
