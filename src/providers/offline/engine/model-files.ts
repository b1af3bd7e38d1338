import type { Loader } from "../../../models/manifest.ts"

/** The files that each loader needs: what it calls them, and their paths in the folder of a model. */
export const modelFiles: Readonly<Record<Loader, Readonly<Record<string, string>>>> = {
  silero: { detector: "silero_vad.onnx" },
  moonshine: {
    encoder: "encoder_model.onnx",
    decoder: "decoder_model_merged.onnx",
    tokens: "tokens.txt",
  },
  transducer: {
    encoder: "encoder.int8.onnx",
    decoder: "decoder.int8.onnx",
    joiner: "joiner.int8.onnx",
    tokens: "tokens.txt",
  },
  whisper: { encoder: "encoder.int8.onnx", decoder: "decoder.int8.onnx", tokens: "tokens.txt" },
  supertonic: {
    durationPredictor: "duration_predictor.int8.onnx",
    textEncoder: "text_encoder.int8.onnx",
    vectorEstimator: "vector_estimator.int8.onnx",
    vocoder: "vocoder.int8.onnx",
    settings: "tts.json",
    characters: "unicode_indexer.bin",
    voices: "voice.bin",
  },
  pocket: {
    flow: "lm_flow.int8.onnx",
    main: "lm_main.int8.onnx",
    encoder: "encoder.onnx",
    decoder: "decoder.onnx",
    textConditioner: "text_conditioner.onnx",
    vocabulary: "vocab.json",
    scores: "token_scores.json",
  },
}
