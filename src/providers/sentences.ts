import type { Stage } from "../schema.ts"
import type { UnusableKind } from "./errors.ts"

/** How the operator knows each stage. `model` is what a 404 can mean. */
const stageNames = {
  stt: { provider: "The transcription provider", model: "model", variables: "STT_MODEL and STT_BASE_URL" },
  llm: { provider: "The language model's provider", model: "model", variables: "LLM_MODEL and LLM_BASE_URL" },
  tts: {
    provider: "The speech synthesis provider",
    model: "model or voice",
    variables: "TTS_MODEL, TTS_VOICE and TTS_BASE_URL",
  },
} as const

/** Answers that another try would not change. Most of them are for the operator. */
export const unusable = (stage: Stage, kind: UnusableKind): string => {
  const { provider, model, variables } = stageNames[stage]
  switch (kind) {
    case "declined":
      return "The model declined to answer."
    case "thinking":
      return "The model used up its answer with thinking. Ask something simpler, or tell the operator to raise LLM_MAX_TOKENS, or to lower the model's reasoning effort."
    case "thinking-time":
      return "The model was still thinking when its time was over. Ask something simpler, or tell the operator to lower the model's reasoning effort, or to raise LLM_THINKING_TIMEOUT_SECONDS."
    case "tools":
      return "The model called a tool and said nothing. Ask something else, or tell the operator to choose another LLM_MODEL."
    case "unknown-tool":
      return "The model called another tool than the one that it had to call. Please try again."
    case "cut-call":
      return "The model's tool call was longer than its limit. Ask for less, or tell the operator to raise LLM_MAX_TOKENS."
    case "no-tools":
      return "The model, or its server, supports no tools. Send no tools, or tell the operator to choose an LLM_MODEL that supports them. vLLM needs --enable-auto-tool-choice and --tool-call-parser, llama.cpp needs --jinja."
    case "empty":
      return "The model's answer was empty. Please try again."
    case "endless":
      return `${provider} sent more than 16 MB in one answer. Tell the operator to check the settings that begin with ${stage.toUpperCase()}_.`
    case "no-model":
      return `${provider} has no such ${model}. Tell the operator to check ${variables}.`
    case "no-credit":
      return `${provider} has no credit left for this server. Tell the operator to check the account's balance and limits.`
    case "refused-field":
      return `${provider} refused a field of the request. Tell the operator to check the settings that begin with ${stage.toUpperCase()}_; the log names the field.`
    case "no-recognizer":
      return "This server has no speech recognition that works. Tell the operator to run ./voice-agent models pull --default, and to start the service again."
    case "no-voice":
      return "This server has no voice that can speak this text. Tell the operator to install flite and espeak-ng, or to run ./voice-agent models pull --tts, and to start the service again."
  }
}
