import type { ResponseObject, ServerEvent } from "../../src/realtime/protocol/server-events.ts"
import { sessionObject } from "../../src/realtime/protocol/server-events.ts"
import type { Item, ItemStatus, ServedCall } from "../../src/realtime/protocol/server-items.ts"
import { type AgentFacts, defaultConfig } from "../../src/realtime/protocol/session-config.ts"

export const agentFacts: AgentFacts = {
  model: "gpt-5-mini",
  instructions: "Be brief.",
  voice: "alloy",
  transcriptionModel: "whisper-1",
  tools: [],
}

const object = "realtime.item"
export const items = {
  system: {
    id: "s1",
    object,
    type: "message",
    role: "system",
    status: "completed",
    content: [{ type: "input_text", text: "Be kind." }],
  },
  spoken: (transcript: string | null): Item => ({
    id: "u1",
    object,
    type: "message",
    role: "user",
    status: "completed",
    content: [{ type: "input_audio", transcript }],
  }),
  typed: {
    id: "u2",
    object,
    type: "message",
    role: "user",
    status: "completed",
    content: [{ type: "input_text", text: "Hello" }],
  },
  reply: (status: ItemStatus, content: ReadonlyArray<string>): Item => ({
    id: "a1",
    object,
    type: "message",
    role: "assistant",
    status,
    content: content.map((transcript) => ({ type: "output_audio", transcript })),
  }),
  written: {
    id: "a2",
    object,
    type: "message",
    role: "assistant",
    status: "incomplete",
    content: [{ type: "output_text", text: "Hi" }],
  },
  call: (status: ItemStatus, text: string): Item => ({
    id: "f1",
    object,
    type: "function_call",
    status,
    call_id: "call_1",
    name: "weather",
    arguments: text,
  }),
  served: (output: string | null, error: string | null = null): ServedCall => ({
    id: "m1",
    object,
    type: "mcp_call",
    server_label: "voice-agent",
    name: "current_time",
    arguments: "{}",
    output,
    error: error === null ? null : { type: "tool_execution_error", message: error },
  }),
  output: {
    id: "o1",
    object,
    type: "function_call_output",
    status: "completed",
    call_id: "call_1",
    output: "{}",
  },
} as const

const response = (more: Partial<ResponseObject>): ResponseObject => ({
  id: "r1",
  object: "realtime.response",
  status: "in_progress",
  status_details: null,
  output: [],
  conversation_id: "c1",
  output_modalities: ["audio"],
  max_output_tokens: "inf",
  audio: { output: { format: { type: "audio/pcm", rate: 24_000 }, voice: "alloy" } },
  usage: null,
  metadata: { client_event_id: "x" },
  ...more,
})
const usage = {
  total_tokens: 30,
  input_tokens: 10,
  output_tokens: 20,
  input_token_details: { text_tokens: 10, audio_tokens: 0, cached_tokens: 0 },
  output_token_details: { text_tokens: 20, audio_tokens: 0 },
}
const error = { type: "server_error", code: "LLM_FAILED", message: "The language model failed." }

const config = defaultConfig(agentFacts)
const session = sessionObject("sess", 1_800_000_000, config)
const transcription = sessionObject("sess", 1_800_000_000, defaultConfig(agentFacts, "transcription"))
const placed = { previous_item_id: "p1" }
const first = { previous_item_id: null }
const ofItem = { item_id: "a1" }
const ofContent = { ...ofItem, content_index: 0 }
const ofPart = { ...ofContent, response_id: "r1", output_index: 0 }
const ofCall = { item_id: "f1", response_id: "r1", output_index: 1, call_id: "call_1" }
const ofOutput = { response_id: "r1", output_index: 0 }

/** By type, so that none can be forgotten. */
const events: {
  readonly [Type in ServerEvent["type"]]: ReadonlyArray<Extract<ServerEvent, { readonly type: Type }>>
} = {
  "session.created": [{ type: "session.created", session }],
  "session.updated": [
    { type: "session.updated", session },
    { type: "session.updated", session: transcription },
  ],
  "conversation.item.added": [
    { type: "conversation.item.added", item: items.system, ...first },
    { type: "conversation.item.added", item: items.spoken(null), ...placed },
    { type: "conversation.item.added", item: items.typed, ...placed },
    { type: "conversation.item.added", item: items.reply("in_progress", []), ...placed },
    { type: "conversation.item.added", item: items.call("in_progress", ""), ...placed },
    { type: "conversation.item.added", item: items.output, ...placed },
  ],
  "conversation.item.done": [
    { type: "conversation.item.done", item: items.spoken("Hello"), ...placed },
    { type: "conversation.item.done", item: items.reply("completed", ["Hi"]), ...placed },
    { type: "conversation.item.done", item: items.written, ...placed },
    { type: "conversation.item.done", item: items.call("completed", "{}"), ...placed },
  ],
  "conversation.item.retrieved": [
    { type: "conversation.item.retrieved", item: items.spoken("Hello") },
    { type: "conversation.item.retrieved", item: items.reply("incomplete", ["H"]) },
  ],
  "conversation.item.truncated": [{ type: "conversation.item.truncated", ...ofContent, audio_end_ms: 0 }],
  "conversation.item.deleted": [{ type: "conversation.item.deleted", ...ofItem }],
  "conversation.item.input_audio_transcription.delta": [
    { type: "conversation.item.input_audio_transcription.delta", ...ofContent, delta: "Hello" },
  ],
  "conversation.item.input_audio_transcription.completed": [
    {
      type: "conversation.item.input_audio_transcription.completed",
      ...ofContent,
      transcript: "",
      usage: { type: "duration", seconds: 1.2 },
    },
  ],
  "conversation.item.input_audio_transcription.failed": [
    { type: "conversation.item.input_audio_transcription.failed", ...ofContent, error },
  ],
  "input_audio_buffer.committed": [
    { type: "input_audio_buffer.committed", ...ofItem, ...placed },
    { type: "input_audio_buffer.committed", ...ofItem, ...first },
  ],
  "input_audio_buffer.cleared": [{ type: "input_audio_buffer.cleared" }],
  "input_audio_buffer.speech_started": [
    { type: "input_audio_buffer.speech_started", ...ofItem, audio_start_ms: 0 },
  ],
  "input_audio_buffer.speech_stopped": [
    { type: "input_audio_buffer.speech_stopped", ...ofItem, audio_end_ms: 900 },
  ],
  "input_audio_buffer.timeout_triggered": [
    { type: "input_audio_buffer.timeout_triggered", ...ofItem, audio_start_ms: 0, audio_end_ms: 6_000 },
  ],
  "rate_limits.updated": [
    {
      type: "rate_limits.updated",
      rate_limits: [{ name: "requests", limit: 60, remaining: 59, reset_seconds: 1 }],
    },
  ],
  "response.created": [
    { type: "response.created", response: response({}) },
    { type: "response.created", response: response({ conversation_id: null, metadata: null }) },
  ],
  "response.done": [
    {
      type: "response.done",
      response: response({ status: "completed", status_details: { type: "completed" }, usage }),
    },
    {
      type: "response.done",
      response: response({
        status: "cancelled",
        status_details: { type: "cancelled", reason: "turn_detected" },
        output: [items.reply("incomplete", ["H"]), items.call("incomplete", "{}"), items.served("Noon.")],
        usage,
      }),
    },
    {
      type: "response.done",
      response: response({
        status: "incomplete",
        status_details: { type: "incomplete", reason: "max_output_tokens" },
        usage,
      }),
    },
    {
      type: "response.done",
      response: response({ status: "failed", status_details: { type: "failed", error } }),
    },
  ],
  "response.output_item.added": [
    { type: "response.output_item.added", ...ofOutput, item: items.reply("in_progress", []) },
    { type: "response.output_item.added", ...ofOutput, item: items.call("in_progress", "") },
    { type: "response.output_item.added", ...ofOutput, item: items.served(null) },
  ],
  "response.output_item.done": [
    { type: "response.output_item.done", ...ofOutput, item: items.reply("completed", ["Hi"]) },
    { type: "response.output_item.done", ...ofOutput, item: items.written },
    { type: "response.output_item.done", ...ofOutput, item: items.call("completed", "{}") },
    { type: "response.output_item.done", ...ofOutput, item: items.call("incomplete", "{}") },
    { type: "response.output_item.done", ...ofOutput, item: items.served("Noon.") },
    { type: "response.output_item.done", ...ofOutput, item: items.served(null, "It failed.") },
  ],
  "response.content_part.added": [
    { type: "response.content_part.added", ...ofPart, part: { type: "audio", transcript: "" } },
    { type: "response.content_part.added", ...ofPart, part: { type: "text", text: "" } },
  ],
  "response.content_part.done": [
    { type: "response.content_part.done", ...ofPart, part: { type: "audio", transcript: "Hi" } },
    { type: "response.content_part.done", ...ofPart, part: { type: "text", text: "Hi" } },
  ],
  "response.output_text.delta": [{ type: "response.output_text.delta", ...ofPart, delta: "Hi" }],
  "response.output_text.done": [{ type: "response.output_text.done", ...ofPart, text: "Hi" }],
  "response.output_audio.delta": [{ type: "response.output_audio.delta", ...ofPart, delta: "AAAA" }],
  "response.output_audio.done": [{ type: "response.output_audio.done", ...ofPart }],
  "response.output_audio_transcript.delta": [
    { type: "response.output_audio_transcript.delta", ...ofPart, delta: "Hi" },
  ],
  "response.output_audio_transcript.done": [
    { type: "response.output_audio_transcript.done", ...ofPart, transcript: "Hi" },
  ],
  "response.function_call_arguments.delta": [
    { type: "response.function_call_arguments.delta", ...ofCall, delta: "{" },
  ],
  "response.function_call_arguments.done": [
    { type: "response.function_call_arguments.done", ...ofCall, arguments: "{}", name: "weather" },
  ],
  "response.mcp_call_arguments.done": [
    { type: "response.mcp_call_arguments.done", ...ofItem, ...ofOutput, arguments: "{}" },
  ],
  "response.mcp_call.completed": [{ type: "response.mcp_call.completed", ...ofItem, output_index: 1 }],
  "response.mcp_call.failed": [{ type: "response.mcp_call.failed", ...ofItem, output_index: 1 }],
  error: [
    { type: "error", error: { ...error, param: "session.tools", event_id: "e1" } },
    { type: "error", error: { ...error, code: null, param: null, event_id: null } },
  ],
}

/** Every event that the server sends, in each of its shapes. */
export const serverEvents: ReadonlyArray<ServerEvent> = Object.values(events).flat()
