import { apply, floats, integers, onnx, type Value } from "./onnx.ts"

const value = (name: string, type: Value["type"], ...shape: Value["shape"]): Value => ({ name, type, shape })

/** Bins of the features. */
const bins = 80

/** Tokens that begin every text, before those of the languages. */
const special = ["<start>", "<transcribe>", "<translate>", "<no timestamps>", "<end>", "<no speech>"]
const [start, transcribe, translate, noTimestamps, end, noSpeech] = special.keys()

/** Positions of the decoder. */
const context = 64

/**
 * A model in the form of Whisper: in all speech it hears the word of the language that it is told, or of the first one.
 * The keys are the names of the files.
 */
export const whisper = (words: Readonly<Record<string, string>>): Readonly<Record<string, Uint8Array>> => {
  const languages = Object.keys(words)
  const tokens = special.length + 2 * languages.length
  const languageTokens = languages.map((_, index) => special.length + index)
  const wordTokens = languages.map((_, index) => special.length + languages.length + index)
  /** Scores of the next token, by the tokens of one call; those of the call are added. */
  const scores = Array.from({ length: tokens }, () => Array<number>(tokens).fill(0))
  const set = (token: number | undefined, next: number | undefined, score: number) => {
    const row = scores[token ?? 0]
    if (row !== undefined && next !== undefined) row[next] = score
  }
  set(start, languageTokens[0], 1)
  for (const [index, token] of languageTokens.entries()) set(token, wordTokens[index], 10)
  for (const token of wordTokens) set(token, end, 10)
  const layer = value("n_layer_cross_k", "float", 1, 1, "frames", 1)
  const otherLayer = value("n_layer_cross_v", "float", 1, 1, "frames", 1)
  const cache = value("in_n_layer_self_k_cache", "float", 1, 1, context, 1)
  const otherCache = value("in_n_layer_self_v_cache", "float", 1, 1, context, 1)
  const encoder = onnx({
    inputs: [value("mel", "float", 1, bins, "frames")],
    outputs: [layer, otherLayer],
    constants: { column: integers(1, 1, -1, 1) },
    nodes: [
      apply("ReduceMean", ["mel"], "mean", { axes: [1], keepdims: 1 }),
      apply("Reshape", ["mean", "column"], layer.name),
      apply("Reshape", ["mean", "column"], otherLayer.name),
    ],
    metadata: {
      n_mels: bins,
      n_text_layer: 1,
      n_text_ctx: context,
      n_text_state: 1,
      n_vocab: tokens,
      sot: start ?? 0,
      eot: end ?? 0,
      blank_id: end ?? 0,
      transcribe: transcribe ?? 0,
      translate: translate ?? 0,
      is_multilingual: 1,
      no_timestamps: noTimestamps ?? 0,
      no_speech: noSpeech ?? 0,
      sot_sequence: [start, languageTokens[0], transcribe].join(","),
      all_language_tokens: languageTokens.join(","),
      all_language_codes: languages.join(","),
    },
  })
  const decoder = onnx({
    inputs: [
      value("tokens", "int64", 1, "given"),
      cache,
      otherCache,
      layer,
      otherLayer,
      value("offset", "int64", 1),
    ],
    outputs: [
      value("logits", "float", 1, "given", tokens),
      value("out_n_layer_self_k_cache", "float", 1, 1, context, 1),
      value("out_n_layer_self_v_cache", "float", 1, 1, context, 1),
    ],
    constants: { table: floats([tokens, tokens], scores.flat()), axis: integers(1) },
    nodes: [
      apply("Gather", ["table", "tokens"], "rows"),
      apply("ReduceSum", ["rows", "axis"], "all", { keepdims: 1 }),
      apply("Add", ["rows", "all"], "logits"),
      apply("Identity", [cache.name], "out_n_layer_self_k_cache"),
      apply("Identity", [otherCache.name], "out_n_layer_self_v_cache"),
    ],
  })
  const names = [
    ...special,
    ...languages.map((code) => `<${code}>`),
    ...Object.values(words).map((word) => ` ${word}`),
  ]
  const lines = names.map((name, id) => `${Buffer.from(name).toString("base64")} ${id}\n`)
  return {
    "encoder.int8.onnx": encoder,
    "decoder.int8.onnx": decoder,
    "tokens.txt": new TextEncoder().encode(lines.join("")),
  }
}
