import type { Tool } from "./fields.ts"
import type { SessionPatch } from "./session-patch.ts"
import type { ToolChoice } from "./tools.ts"

/** PCM is 24 kHz mono 16-bit little-endian; `audio/pcmu` and `audio/pcma` are G.711 at 8 kHz. */
export type AudioFormat =
  | { readonly type: "audio/pcm"; readonly rate: 24_000 }
  | { readonly type: "audio/pcmu" }
  | { readonly type: "audio/pcma" }

interface Responding {
  /** In force: a response starts at the end of speech. */
  readonly create_response: boolean
  /** In force: speech interrupts the response. Shown always, because stock clients read it. */
  readonly interrupt_response: boolean
}
export interface ServerVad extends Responding {
  readonly type: "server_vad"
  /** The probability of speech from which it counts as speech. */
  readonly threshold: number
  readonly prefix_padding_ms: number
  readonly silence_duration_ms: number
  readonly idle_timeout_ms: number | null
}
export interface SemanticVad extends Responding {
  readonly type: "semantic_vad"
  readonly eagerness: "low" | "medium" | "high" | "auto"
}
export type TurnDetection = ServerVad | SemanticVad

/** `model` is the server's. Only `language` is in force; the rest is shown. */
export interface TranscriptionConfig {
  readonly model: string
  readonly language?: string
  readonly prompt?: string
  readonly delay?: string
  readonly keywords?: ReadonlyArray<string>
  readonly languages?: ReadonlyArray<string>
}

export interface InputConfig {
  readonly format: AudioFormat
  /** Null: speech is transcribed, but no `…input_audio_transcription…` event is sent. */
  readonly transcription: TranscriptionConfig | null
  /** Shown only. */
  readonly noise_reduction: {
    readonly type?: "near_field" | "far_field"
    readonly strength?: number
  } | null
  /** Null: the client commits turns itself. */
  readonly turn_detection: TurnDetection | null
}

export interface OutputConfig {
  readonly format: AudioFormat
  readonly voice: string
  /** Always 1: speech synthesis has no speed here. */
  readonly speed: 1
}

export interface RealtimeConfig {
  readonly type: "realtime"
  /** The server's model, whatever the client asked for. */
  readonly model: string
  readonly instructions: string
  readonly output_modalities: readonly ["audio"] | readonly ["text"]
  readonly audio: { readonly input: InputConfig; readonly output: OutputConfig }
  readonly tools: ReadonlyArray<Tool>
  readonly tool_choice: ToolChoice
  /** Absent: true. */
  readonly parallel_tool_calls?: boolean
  readonly max_output_tokens: number | "inf"
  /** Always "auto": the server drops the oldest turns from the prompt by its own limits. */
  readonly truncation: "auto"
  /** Shown only, as are the fields below. */
  readonly include: NonNullable<SessionPatch["include"]> | null
  readonly tracing: NonNullable<SessionPatch["tracing"]> | null
  readonly prompt: NonNullable<SessionPatch["prompt"]> | null
  readonly reasoning?: NonNullable<SessionPatch["reasoning"]> | null
}

/** A session that transcribes and never answers. */
export interface TranscriptionSessionConfig {
  readonly type: "transcription"
  readonly audio: { readonly input: InputConfig }
  readonly include: NonNullable<SessionPatch["include"]> | null
}

/** The configuration in force, complete, as `session.created` and `session.updated` show it. */
export type SessionConfig = RealtimeConfig | TranscriptionSessionConfig

/** What the defaults of a session take from the session's agent. */
export interface AgentFacts {
  readonly model: string
  readonly instructions: string
  readonly voice: string
  readonly transcriptionModel: string
  /** ISO 639-1. Absent: the recognizer detects the language. */
  readonly language?: string
  /** Absent: the server of the language model decides. */
  readonly maxOutputTokens?: number
  /** Those that the client runs. */
  readonly tools: RealtimeConfig["tools"]
}

export const defaultVad: ServerVad = {
  type: "server_vad",
  threshold: 0.5,
  prefix_padding_ms: 300,
  // OpenAI's reference says 500, its server 200. Speech to text needs the pauses within a sentence.
  silence_duration_ms: 500,
  idle_timeout_ms: null,
  create_response: true,
  interrupt_response: true,
}

const pcm: AudioFormat = { type: "audio/pcm", rate: 24_000 }

const defaultTranscription = (facts: AgentFacts): TranscriptionConfig => ({
  model: facts.transcriptionModel,
  ...(facts.language === undefined ? {} : { language: facts.language }),
})

/** The configuration of a new session before the client's first `session.update`. */
export const defaultConfig = (facts: AgentFacts, type: SessionConfig["type"] = "realtime"): SessionConfig => {
  const input: InputConfig = {
    format: pcm,
    transcription: null,
    noise_reduction: null,
    turn_detection: defaultVad,
  }
  if (type === "transcription") {
    return {
      type,
      audio: { input: { ...input, transcription: defaultTranscription(facts) } },
      include: null,
    }
  }
  return {
    type,
    model: facts.model,
    instructions: facts.instructions,
    output_modalities: ["audio"],
    audio: { input, output: { format: pcm, voice: facts.voice, speed: 1 } },
    tools: facts.tools,
    tool_choice: "auto",
    // The limit of the session; 4096 is the highest that the protocol can show.
    max_output_tokens:
      facts.maxOutputTokens === undefined || facts.maxOutputTokens > 4_096 ? "inf" : facts.maxOutputTokens,
    truncation: "auto",
    include: null,
    tracing: null,
    prompt: null,
  }
}
