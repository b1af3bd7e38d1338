import type { Item, ServedCall } from "./server-items.ts"
import type { AudioFormat, SessionConfig } from "./session-config.ts"

type Named = SessionConfig & {
  readonly id: string
  readonly object: "realtime.session" | "realtime.transcription_session"
}

/** A session as clients see it: the configuration in force with its id. `expires_at` is in Unix seconds. */
export type SessionObject = Named & { readonly expires_at: number }

const named = (id: string, config: SessionConfig): Named => ({
  ...config,
  id,
  object: config.type === "realtime" ? "realtime.session" : "realtime.transcription_session",
})

export const sessionObject = (id: string, expiresAt: number, config: SessionConfig): SessionObject => ({
  ...named(id, config),
  expires_at: expiresAt,
})

/**
 * The configuration of the sessions that a client secret will open. Stock clients require an `id`: it is the secret's, in a
 * form that is no session's. There is no `expires_at`, which is optional, because each session has its own.
 */
export const plannedSession = (secretId: string, config: SessionConfig): Named =>
  named(`secret_${secretId}`, config)

/** Tokens of a response. No number may be null: a stock client drops the event. */
export interface ResponseUsage {
  readonly total_tokens: number
  readonly input_tokens: number
  readonly output_tokens: number
  readonly input_token_details: {
    readonly text_tokens: number
    readonly audio_tokens: number
    readonly cached_tokens: number
  }
  readonly output_token_details: { readonly text_tokens: number; readonly audio_tokens: number }
}

/** Fields that have no value are left out: a stock client drops the event where one is null. */
interface ErrorDetails {
  readonly type?: string
  readonly code?: string
  readonly message?: string
  readonly param?: string
}

export type StatusDetails =
  | { readonly type: "completed" }
  | { readonly type: "cancelled"; readonly reason: "turn_detected" | "client_cancelled" }
  | { readonly type: "incomplete"; readonly reason: "max_output_tokens" | "content_filter" }
  | { readonly type: "failed"; readonly error: ErrorDetails }

export interface ResponseObject {
  readonly id: string
  readonly object: "realtime.response"
  readonly status: "in_progress" | StatusDetails["type"]
  /** Null while in progress. */
  readonly status_details: StatusDetails | null
  readonly output: ReadonlyArray<Item | ServedCall>
  /** Null out of band. */
  readonly conversation_id: string | null
  readonly output_modalities: readonly ["audio"] | readonly ["text"]
  readonly max_output_tokens: number | "inf"
  readonly audio: { readonly output: { readonly format: AudioFormat; readonly voice: string } }
  readonly usage: ResponseUsage | null
  readonly metadata: Readonly<Record<string, string>> | null
}

/** The types are `text` and `audio` here, unlike those of an item's content. */
export type ContentPart =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "audio"; readonly transcript: string }

interface OfItem {
  readonly item_id: string
}
interface OfOutput {
  readonly response_id: string
  /** The item's place in the response. */
  readonly output_index: number
}
interface OfPart extends OfItem, OfOutput {
  /** The part's place in the item. */
  readonly content_index: number
}
interface OfContent extends OfItem {
  readonly content_index: number
}
interface OfCall extends OfItem, OfOutput {
  readonly call_id: string
}
interface Placed {
  /** The item before it. Null for the first of the conversation only: clients put an item after null at the front. */
  readonly previous_item_id: string | null
}

interface Fields {
  "session.created": { readonly session: SessionObject }
  "session.updated": { readonly session: SessionObject }
  "conversation.item.added": Placed & { readonly item: Item }
  "conversation.item.done": Placed & { readonly item: Item }
  "conversation.item.retrieved": { readonly item: Item }
  "conversation.item.truncated": OfContent & { readonly audio_end_ms: number }
  "conversation.item.deleted": OfItem
  /** Text that no later event changes: the deltas of an item add up to the transcript in `completed`. */
  "conversation.item.input_audio_transcription.delta": OfContent & { readonly delta: string }
  "conversation.item.input_audio_transcription.completed": OfContent & {
    readonly transcript: string
    readonly usage: { readonly type: "duration"; readonly seconds: number }
  }
  "conversation.item.input_audio_transcription.failed": OfContent & { readonly error: ErrorDetails }
  "input_audio_buffer.committed": OfItem & Placed
  "input_audio_buffer.cleared": object
  /** In ms of the audio that the client sent, with `prefix_padding_ms` before the speech. */
  "input_audio_buffer.speech_started": OfItem & { readonly audio_start_ms: number }
  /** On the same clock, with the silence after the speech. */
  "input_audio_buffer.speech_stopped": OfItem & { readonly audio_end_ms: number }
  /** Unknown to two stock clients: only for a client that set `idle_timeout_ms`. */
  "input_audio_buffer.timeout_triggered": OfItem & {
    readonly audio_start_ms: number
    readonly audio_end_ms: number
  }
  /** After `response.created`. The names are OpenAI's: a stock client drops an event with another one. */
  "rate_limits.updated": {
    readonly rate_limits: ReadonlyArray<{
      readonly name: "requests"
      readonly limit: number
      readonly remaining: number
      readonly reset_seconds: number
    }>
  }
  "response.created": { readonly response: ResponseObject }
  "response.done": { readonly response: ResponseObject }
  "response.output_item.added": OfOutput & { readonly item: Item | ServedCall }
  "response.output_item.done": OfOutput & { readonly item: Item | ServedCall }
  "response.content_part.added": OfPart & { readonly part: ContentPart }
  "response.content_part.done": OfPart & { readonly part: ContentPart }
  "response.output_text.delta": OfPart & { readonly delta: string }
  "response.output_text.done": OfPart & { readonly text: string }
  /** `delta` is base64 in the response's output format. */
  "response.output_audio.delta": OfPart & { readonly delta: string }
  "response.output_audio.done": OfPart
  "response.output_audio_transcript.delta": OfPart & { readonly delta: string }
  "response.output_audio_transcript.done": OfPart & { readonly transcript: string }
  "response.function_call_arguments.delta": OfCall & { readonly delta: string }
  "response.function_call_arguments.done": OfCall & { readonly arguments: string; readonly name: string }
  /** Without `response.mcp_call.in_progress`, at which a stock client asks for an item of the conversation. */
  "response.mcp_call_arguments.done": OfItem & OfOutput & { readonly arguments: string }
  "response.mcp_call.completed": OfItem & { readonly output_index: number }
  "response.mcp_call.failed": OfItem & { readonly output_index: number }
  error: {
    readonly error: {
      readonly type: string
      readonly code: string | null
      readonly message: string
      readonly param: string | null
      /** The client event that caused it. */
      readonly event_id: string | null
    }
  }
}

/** What the server sends, without the `event_id`. */
export type ServerEvent = {
  readonly [Type in keyof Fields]: { readonly type: Type } & Fields[Type]
}[keyof Fields]

const newEventId = () => `event_${crypto.randomUUID().replaceAll("-", "")}`

/** The message of an event, with a new `event_id`. */
export const encodeServerEvent = (event: ServerEvent): string =>
  JSON.stringify({ event_id: newEventId(), ...event })
