/** The events of the Realtime protocol that the client uses. */
import { decodeBase64, encodeBase64 } from "./base64.ts"
import { badAnswer } from "./errors.ts"
import type { ToolCall } from "./model.ts"
import { boolean, fieldsOf, listOf, object, optional, orNull, parse, type Reader, text } from "./read.ts"

interface Failure {
  readonly code: string
  readonly message: string
}

export type RealtimeEvent =
  | { readonly type: "created"; readonly sessionId: string }
  /** Whether the service stops a reply when the user speaks. */
  | { readonly type: "updated"; readonly interrupts: boolean }
  | { readonly type: "speechStarted" }
  | { readonly type: "committed"; readonly itemId: string }
  | { readonly type: "transcript"; readonly itemId: string; readonly text: string }
  | { readonly type: "transcriptFailed"; readonly itemId: string; readonly failure: Failure }
  | { readonly type: "responseCreated"; readonly responseId: string }
  | { readonly type: "text"; readonly responseId: string; readonly itemId: string; readonly text: string }
  | {
      readonly type: "audio"
      readonly responseId: string
      readonly itemId: string
      readonly samples: Int16Array<ArrayBuffer>
    }
  | {
      readonly type: "responseDone"
      readonly responseId: string
      readonly isComplete: boolean
      /** Its calls of tools of the client. */
      readonly calls: ReadonlyArray<ToolCall>
      /** Undefined unless the response failed. */
      readonly failure: Failure | undefined
    }
  | { readonly type: "error"; readonly failure: Failure }

/** Typed arrays are little-endian, like audio/pcm, wherever this client runs. */
const samplesOf = (base64: string): Int16Array<ArrayBuffer> => {
  const { buffer, length } = decodeBase64(base64)
  return new Int16Array(buffer, 0, length >> 1)
}

const readFailure: Reader<Failure> = (value) => {
  const field = fieldsOf(value)
  return {
    code: field("code", optional(orNull(text))) ?? "server_error",
    message: field("message", optional(text)) ?? "The service reported an error.",
  }
}

const readDetection: Reader<boolean> = (value) =>
  fieldsOf(value)("interrupt_response", optional(boolean)) ?? true

/** Reads `audio.input.turn_detection.interrupt_response`. Without turn detection, speech interrupts nothing. */
const readInterrupts: Reader<boolean> = (session) => {
  const audio = fieldsOf(session)("audio", object)
  const input = fieldsOf(audio)("input", object)
  return fieldsOf(input)("turn_detection", orNull(readDetection)) ?? false
}

const readText: Reader<string> = (part) => fieldsOf(part)("text", optional(text)) ?? ""

/** The call that an item is. */
const readCall: Reader<ReadonlyArray<ToolCall>> = (item) => {
  const field = fieldsOf(item)
  if (field("type", optional(text)) !== "function_call") return []
  return [{ callId: field("call_id", text), name: field("name", text), arguments: field("arguments", text) }]
}

const readResponse = (value: unknown): Omit<RealtimeEvent & { type: "responseDone" }, "type"> => {
  const field = fieldsOf(value)
  const details = field("status_details", optional(orNull(object))) ?? {}
  return {
    responseId: field("id", text),
    isComplete: field("status", text) === "completed",
    calls: (field("output", optional(listOf(readCall))) ?? []).flat(),
    failure: fieldsOf(details)("error", optional(readFailure)),
  }
}

/** An event of the service. Undefined for one that the client does not use, or that a later version adds. */
export const readEvent = (json: string): RealtimeEvent | undefined => {
  const event = parse(json, object)
  const field = fieldsOf(event)
  const ofItem = () => ({ responseId: field("response_id", text), itemId: field("item_id", text) })
  switch (field("type", text)) {
    case "session.created":
      return { type: "created", sessionId: fieldsOf(field("session", object))("id", text) }
    case "session.updated":
      return { type: "updated", interrupts: field("session", readInterrupts) }
    case "input_audio_buffer.speech_started":
      return { type: "speechStarted" }
    case "input_audio_buffer.committed":
      return { type: "committed", itemId: field("item_id", text) }
    case "conversation.item.input_audio_transcription.completed":
      return { type: "transcript", itemId: field("item_id", text), text: field("transcript", text) }
    case "conversation.item.input_audio_transcription.failed":
      return {
        type: "transcriptFailed",
        itemId: field("item_id", text),
        failure: field("error", readFailure),
      }
    case "conversation.item.done": {
      const item = fieldsOf(field("item", object))
      if (item("role", optional(text)) !== "user") return undefined
      const words = item("content", listOf(readText)).join("")
      return words === "" ? undefined : { type: "transcript", itemId: item("id", text), text: words }
    }
    case "response.created":
      return { type: "responseCreated", responseId: fieldsOf(field("response", object))("id", text) }
    case "response.output_text.delta":
    case "response.output_audio_transcript.delta":
      return { type: "text", ...ofItem(), text: field("delta", text) }
    case "response.output_audio.delta":
      return { type: "audio", ...ofItem(), samples: samplesOf(field("delta", text)) }
    case "response.done":
      return { type: "responseDone", ...field("response", readResponse) }
    case "error":
      return { type: "error", failure: field("error", readFailure) }
    default:
      return undefined
  }
}

/** The text of a message. The protocol has no binary ones. */
export const messageText = (data: unknown): string => {
  if (typeof data === "string") return data
  throw badAnswer("a message is not text")
}

/** An `input_audio_buffer.append`. */
export const appendEvent = ({ buffer, byteOffset, byteLength }: Int16Array): string =>
  `{"type":"input_audio_buffer.append","audio":"${encodeBase64(new Uint8Array(buffer, byteOffset, byteLength))}"}`
