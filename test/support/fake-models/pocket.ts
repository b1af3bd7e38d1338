import { apply, floats, integers, onnx, type Value } from "./onnx.ts"

/** Hz. */
const sampleRate = 24_000

/** Samples of a frame. */
const frame = 1920

/** Numbers in the embedding of a token or a voice, and in a frame. */
const [embedding, latent] = [1024, 32]

/** Frames of every text. */
const frames = 20

const value = (name: string, type: Value["type"], ...shape: Value["shape"]): Value => ({ name, type, shape })

/** A vector whose first number is 1. */
const unit = (size: number) =>
  floats(
    [1, 1, size],
    Array.from({ length: size }, (_, at) => (at === 0 ? 1 : 0)),
  )

/** The embedding of a voice is the loudest sample of its recording. */
const encoder = onnx({
  inputs: [value("audio", "float", 1, 1, "samples")],
  outputs: [value("embedding", "float", 1, 1, embedding)],
  constants: { unit: unit(embedding) },
  nodes: [
    apply("ReduceMax", ["audio"], "peak", { axes: [2], keepdims: 1 }),
    apply("Mul", ["peak", "unit"], "embedding"),
  ],
})

/** Nothing is in a text but its tokens' number. */
const textConditioner = onnx({
  inputs: [value("token_ids", "int64", 1, "tokens")],
  outputs: [value("embeddings", "float", 1, "tokens", embedding)],
  constants: {
    last: integers(2),
    zero: floats([1], [0]),
    all: floats([1, 1, embedding], Array(embedding).fill(0)),
  },
  nodes: [
    apply("Cast", ["token_ids"], "numbers", { to: 1 }),
    apply("Unsqueeze", ["numbers", "last"], "column"),
    apply("Mul", ["column", "zero"], "nothing"),
    apply("Add", ["nothing", "all"], "embeddings"),
  ],
})

/** It remembers the voice and counts the frames, of which the first is no number. */
const languageModel = onnx({
  inputs: [
    value("sequence", "float", 1, "frames", latent),
    value("text", "float", 1, "tokens", embedding),
    value("voice", "float", 1, 1, embedding),
    value("count", "float", 1),
  ],
  outputs: [
    value("conditioning", "float", 1, latent),
    value("eos", "float", 1, 1),
    value("voice_next", "float", 1, 1, embedding),
    value("count_next", "float", 1),
  ],
  constants: {
    middle: integers(1),
    limit: floats([1], [frames]),
    pair: integers(1, 1),
    from: integers(0),
    to: integers(latent),
    row: integers(1, latent),
    axis: integers(2),
  },
  nodes: [
    apply("ReduceSum", ["text", "middle"], "added", { keepdims: 1 }),
    apply("Add", ["voice", "added"], "voice_next"),
    apply("Shape", ["sequence"], "shape"),
    apply("Gather", ["shape", "middle"], "given"),
    apply("Cast", ["given"], "number", { to: 1 }),
    apply("Add", ["count", "number"], "count_next"),
    apply("Sub", ["count_next", "limit"], "over"),
    apply("Reshape", ["over", "pair"], "eos"),
    apply("Slice", ["voice_next", "from", "to", "axis"], "start"),
    apply("Reshape", ["start", "row"], "conditioning"),
  ],
})

/** Moves the noise so that it has become the voice after the last step. */
const flow = onnx({
  inputs: [
    value("c", "float", 1, latent),
    value("s", "float", 1, 1),
    value("t", "float", 1, 1),
    value("x", "float", 1, latent),
  ],
  outputs: [value("direction", "float", 1, latent)],
  constants: { one: floats([1], [1]) },
  nodes: [
    apply("Sub", ["c", "x"], "rest"),
    apply("Sub", ["one", "s"], "left"),
    apply("Div", ["rest", "left"], "direction"),
  ],
})

/** A sine of as many kHz as the voice is loud. */
const decoder = onnx({
  inputs: [value("latent", "float", 1, "frames", latent), value("state", "float", 1)],
  outputs: [value("audio", "float", 1, 1, "samples"), value("state_next", "float", 1)],
  constants: {
    from: integers(0),
    to: integers(1),
    axis: integers(2),
    phase: floats(
      [1, 1, frame],
      Array.from({ length: frame }, (_, at) => (2 * Math.PI * 1000 * at) / sampleRate),
    ),
    loudness: floats([1], [0.3]),
    row: integers(1, 1, -1),
  },
  nodes: [
    apply("Slice", ["latent", "from", "to", "axis"], "voice"),
    apply("Mul", ["voice", "phase"], "angles"),
    apply("Sin", ["angles"], "sine"),
    apply("Mul", ["sine", "loudness"], "loud"),
    apply("Reshape", ["loud", "row"], "audio"),
    apply("Identity", ["state"], "state_next"),
  ],
})

const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))

const bytes = Array.from(
  { length: 256 },
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
)

/**
 * A model in the form of Pocket TTS: its voice is a sine whose frequency in kHz is the loudest sample of the recording.
 * The keys are the names of the files.
 */
export const pocket = (): Readonly<Record<string, Uint8Array>> => ({
  "lm_main.int8.onnx": languageModel,
  "lm_flow.int8.onnx": flow,
  "encoder.onnx": encoder,
  "decoder.onnx": decoder,
  "text_conditioner.onnx": textConditioner,
  "vocab.json": json(Object.fromEntries(bytes.map((token, id) => [token, id]))),
  "token_scores.json": json(Object.fromEntries(bytes.map((token) => [token, -1]))),
})
