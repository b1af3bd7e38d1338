import { apply, floats, integers, onnx, type Value } from "./onnx.ts"

/** Bins of the features, as Parakeet has. */
const bins = 128

const value = (name: string, type: Value["type"], ...shape: Value["shape"]): Value => ({ name, type, shape })

/** The largest score is the next token; of the durations, the second one: 1 step. */
const scoresAfter = (token: number, tokens: number, durations: number) => {
  const next = token === tokens - 1 ? 0 : token + 1
  const scores = Array.from({ length: tokens }, (_, each) => (each === next ? 10 : 0))
  return [...scores, ...Array.from({ length: durations }, (_, each) => (each === 1 ? 10 : 0))]
}

const durations = 5

/**
 * A model in the form of NeMo's TDT transducers, such as Parakeet: it hears these words in all speech. The keys are the
 * names of the files.
 */
export const transducer = (words: ReadonlyArray<string>): Readonly<Record<string, Uint8Array>> => {
  /** The words, and blank. */
  const tokens = words.length + 1
  const state = value("state", "float", 1, 1, 1)
  const otherState = value("other_state", "float", 1, 1, 1)
  const encoder = onnx({
    inputs: [value("audio_signal", "float", "batch", bins, "frames"), value("length", "int64", "batch")],
    outputs: [value("outputs", "float", "batch", 1, "steps"), value("encoded_lengths", "int64", "batch")],
    constants: { axes: integers(1), eight: integers(8) },
    nodes: [
      apply("ReduceMean", ["audio_signal"], "outputs", { axes: [1], keepdims: 1 }),
      apply("Identity", ["length"], "encoded_lengths"),
    ],
    metadata: {
      vocab_size: words.length,
      subsampling_factor: 8,
      normalize_type: "per_feature",
      pred_rnn_layers: 1,
      pred_hidden: 1,
      feat_dim: bins,
      url: "https://example.com/fake-tdt",
    },
  })
  // The last token of the words is followed by itself as blank: the model says them once.
  const rows = Array.from({ length: tokens }, (_, token) => scoresAfter(token, tokens, durations)).flat()
  const decoder = onnx({
    inputs: [value("targets", "int32", 1, 1), value("target_length", "int32", 1), state, otherState],
    outputs: [
      value("outputs_", "float", 1, "scores", 1),
      value("prednet_lengths", "int32", 1),
      value("state_next", "float", 1, 1, 1),
      value("other_state_next", "float", 1, 1, 1),
    ],
    constants: { table: floats([tokens, tokens + durations], rows), column: integers(1, -1, 1) },
    nodes: [
      apply("Gather", ["table", "targets"], "row"),
      apply("Reshape", ["row", "column"], "outputs_"),
      apply("Identity", ["target_length"], "prednet_lengths"),
      apply("Identity", ["state"], "state_next"),
      apply("Identity", ["other_state"], "other_state_next"),
    ],
  })
  const joiner = onnx({
    inputs: [value("encoder_outputs", "float", 1, 1, 1), value("decoder_outputs", "float", 1, "scores", 1)],
    outputs: [value("logits", "float", 1, 1, 1, tokens + durations)],
    constants: { zero: floats([1], [0]), row: integers(1, 1, 1, -1) },
    nodes: [
      apply("Mul", ["encoder_outputs", "zero"], "nothing"),
      apply("Add", ["decoder_outputs", "nothing"], "scores"),
      apply("Reshape", ["scores", "row"], "logits"),
    ],
  })
  const names = [...words.map((word) => `▁${word}`), "<blk>"]
  return {
    "encoder.int8.onnx": encoder,
    "decoder.int8.onnx": decoder,
    "joiner.int8.onnx": joiner,
    "tokens.txt": new TextEncoder().encode(names.map((name, id) => `${name} ${id}\n`).join("")),
  }
}
