import { Data } from "effect"
import type { ServerEvent } from "./server-events.ts"

/** Of OpenAI's API. */
type ErrorType = "invalid_request_error" | "rate_limit_error" | "server_error"

/** A refusal of a client event. It becomes the `error` event and leaves the connection usable. */
export class ProtocolError extends Data.TaggedError("ProtocolError")<{
  readonly type: "invalid_request_error" | "server_error"
  readonly code: string | null
  readonly message: string
  /** The dotted path of the field at fault, such as `session.tools[0].name`. */
  readonly param: string | null
  /** The `event_id` of the client event that caused the error. Clients match their requests by it. */
  readonly eventId: string | null
}> {}

/** The `error` event of an error. What is not known is null. */
export const errorEvent = (
  error: Pick<ProtocolError, "code" | "message"> & {
    readonly type: ErrorType
    readonly param?: string | null
    readonly eventId?: string | null
  },
): Extract<ServerEvent, { readonly type: "error" }> => ({
  type: "error",
  error: {
    type: error.type,
    code: error.code,
    message: error.message,
    param: error.param ?? null,
    event_id: error.eventId ?? null,
  },
})

/** The same error, as caused by the client event with this id. */
export const causedBy = (error: ProtocolError, eventId: string | null): ProtocolError =>
  new ProtocolError({
    type: error.type,
    code: error.code,
    message: error.message,
    param: error.param,
    eventId: error.eventId ?? eventId,
  })

export const invalidRequest = (
  code: string | null,
  message: string,
  param: string | null = null,
): ProtocolError => new ProtocolError({ type: "invalid_request_error", code, message, param, eventId: null })

/** The refusal of a value that is not one of those supported. */
export const unlisted = (
  param: string,
  value: string,
  supported: ReadonlyArray<unknown>,
  code = "invalid_value",
): ProtocolError =>
  invalidRequest(
    code,
    `Invalid value: '${value.length > 100 ? `${value.slice(0, 100)}...` : value}'. Supported values are: ${supported.map((each) => `'${each}'`).join(", ")}.`,
    param,
  )

/** Errors of the conversation's state. Clients compare some of these codes and texts: they are OpenAI's. */
export const protocolErrors = {
  /** `ms`: the audio in the buffer. */
  commitEmpty: (ms: number) =>
    invalidRequest(
      "input_audio_buffer_commit_empty",
      `Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, but buffer only has ${ms.toFixed(2)}ms of audio.`,
    ),
  activeResponse: (responseId: string) =>
    invalidRequest(
      "conversation_already_has_active_response",
      `Conversation already has an active response in progress: ${responseId}. Wait until the response is finished before creating a new one.`,
    ),
  /** `length` and `most`: in UTF-16 units. */
  tooLong: (param: string, length: number, most: number) =>
    invalidRequest(
      "string_above_max_length",
      `Invalid '${param}': string too long. Expected a string with maximum length ${most}, but got a string with length ${length} instead.`,
      param,
    ),
  /** `most`: characters besides the audio. */
  messageTooLong: (most: number) =>
    invalidRequest(
      "string_above_max_length",
      `The message is too long. Without its audio it may have ${most} characters.`,
    ),
  tooManyOutOfBand: (most: number) =>
    invalidRequest(
      "too_many_responses",
      `${most} responses outside the conversation are in progress, the maximum. Wait until one is finished.`,
    ),
  cancelNotActive: () =>
    invalidRequest("response_cancel_not_active", "Cancellation failed: no active response found"),
  truncateUnknownItem: (itemId: string) =>
    invalidRequest("item_truncate_invalid_item_id", `Item with item_id not found: ${itemId}`, "item_id"),
  truncateTooLong: (audioMs: number, askedMs: number) =>
    invalidRequest(
      "invalid_value",
      `Audio content of ${audioMs}ms is already shorter than ${askedMs}ms`,
      "audio_end_ms",
    ),
  truncateNotAudio: () =>
    invalidRequest("unsupported_content_type", "Only model output audio messages can be truncated"),
  deleteUnknownItem: (itemId: string) =>
    invalidRequest(
      "item_delete_invalid_item_id",
      `Error deleting item: the item with id '${itemId}' does not exist.`,
    ),
  retrieveUnknownItem: (itemId: string) =>
    invalidRequest(
      "item_retrieve_invalid_item_id",
      `Error retrieving item: the item with id '${itemId}' does not exist.`,
    ),
  unknownPreviousItem: (itemId: string) =>
    invalidRequest(
      "item_create_invalid_previous_item_id",
      `Error adding item: the previous item with id '${itemId}' does not exist.`,
    ),
  duplicateItem: (itemId: string) =>
    invalidRequest(
      "item_create_duplicate_item_id",
      `Error adding item: an item with id '${itemId}' already exists.`,
      "item.id",
    ),
  unknownReference: (itemId: string, param: string) =>
    invalidRequest("invalid_value", `The item with id '${itemId}' does not exist.`, param),
  unknownToolCall: (callId: string) =>
    invalidRequest("invalid_tool_call_id", `Tool call ID '${callId}' not found in conversation.`),
  notInTranscription: (eventType: string) =>
    invalidRequest(
      "invalid_event",
      `'${eventType}' is not allowed in a transcription session, which makes no responses. Use a session of type 'realtime'.`,
      "type",
    ),
  /** A fault of the service, with the sentence of its HTTP error. */
  server: (code: string, message: string) =>
    new ProtocolError({ type: "server_error", code, message, param: null, eventId: null }),
}
