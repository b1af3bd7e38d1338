import type { Usage } from "../schema.ts"
import type { Failure } from "./failures.ts"
import type { ResponseConfig } from "./protocol/response.ts"
import type {
  ContentPart,
  ResponseObject,
  ResponseUsage,
  ServerEvent,
  StatusDetails,
} from "./protocol/server-events.ts"
import type { Item, ItemStatus, ServedCall } from "./protocol/server-items.ts"

/** What the client is shown of a response from its start to its end. */
export interface ResponseFacts {
  readonly id: string
  /** Null: out of band, so its items do not enter the conversation. */
  readonly conversationId: string | null
  readonly config: Pick<ResponseConfig, "output_modalities" | "max_output_tokens" | "audio" | "metadata">
}

/** A part of the turn's output, in the order in which the turn gave it. */
export type ResponseOutput =
  | { readonly _tag: "Text"; readonly text: string }
  /** `delta`: base64 in the response's format; `ms`: its playing time. */
  | { readonly _tag: "Audio"; readonly delta: string; readonly ms: number }
  | {
      readonly _tag: "ToolCall"
      readonly itemId: string
      readonly callId: string
      readonly name: string
      readonly arguments: string
    }
  /** What follows is of another message, with this id. */
  | { readonly _tag: "Message"; readonly itemId: string }
  /** A call of the service's own tool. */
  | {
      readonly _tag: "ServedCall"
      readonly itemId: string
      readonly callId: string
      readonly name: string
      readonly arguments: string
    }
  | {
      readonly _tag: "ServedResult"
      readonly callId: string
      readonly output: string
      readonly isError: boolean
    }

/** How a response ended. */
export type ResponseEnd =
  | { readonly _tag: "completed" }
  | { readonly _tag: "cancelled"; readonly reason: "turn_detected" | "client_cancelled" }
  | { readonly _tag: "incomplete"; readonly reason: "max_output_tokens" | "content_filter" }
  | { readonly _tag: "failed"; readonly error: Failure }

/** The conversation that a response adds its items to. */
export interface ResponseItems {
  /** Adds an item at the end. Returns the id of the item before it. */
  readonly add: (item: Item) => string | null
  /** Replaces an item at its end; `audioMs`: the playing time of the audio that was sent of it. */
  readonly finish: (item: Item, audioMs: number) => void
}

/** The events of one response. Plain functions, because `output` runs once per token and audio chunk. */
export interface Response {
  readonly facts: ResponseFacts
  /** Sends response.created. */
  readonly begin: () => void
  readonly output: (part: ResponseOutput) => void
  /** Closes what is open, and sends response.done. A second end, and output after the first, are ignored. */
  readonly end: (end: ResponseEnd, usage: Usage) => void
  /** The id of the message that is being sent, and the playing time of its audio so far, in ms. */
  readonly message: () => { readonly itemId: string; readonly audioMs: number }
}

/** OpenAI's counts. Our models read and write text: the audio has no tokens of its own. */
const usageOf = ({ inputTokens, outputTokens }: Usage): ResponseUsage => ({
  total_tokens: inputTokens + outputTokens,
  input_tokens: inputTokens,
  output_tokens: outputTokens,
  input_token_details: { text_tokens: inputTokens, audio_tokens: 0, cached_tokens: 0 },
  output_token_details: { text_tokens: outputTokens, audio_tokens: 0 },
})

const detailsOf = (end: ResponseEnd): StatusDetails => {
  switch (end._tag) {
    case "completed":
      return { type: end._tag }
    case "failed":
      return { type: end._tag, error: { ...end.error } }
    case "cancelled":
      return { type: end._tag, reason: end.reason }
    case "incomplete":
      return { type: end._tag, reason: end.reason }
  }
}

type MessageContent = Extract<Item, { readonly type: "message" }>["content"]

/** An item that was added and is not done. */
interface OpenItem {
  readonly index: number
  readonly previousItemId: string | null
}

/** A call that is cut off with its response. */
const cutOff = "The call was cut off. Whether it was carried out is unknown."

/**
 * The events of a response, in OpenAI's order: created; for each item added, its deltas and done; response.done.
 * `firstMessageId`: the id of the assistant's first message. `items`: undefined for a response outside the conversation.
 */
export const makeResponse = (
  facts: ResponseFacts,
  firstMessageId: string,
  send: (event: ServerEvent) => void,
  items: ResponseItems | undefined,
): Response => {
  const { id: response_id, config } = facts
  const [modality] = config.output_modalities
  /** In the order of their output_index. */
  const output: Array<Item | ServedCall> = []
  /** Calls of the service's own tools that have no result, by the model's ids. */
  const open = new Map<string, { readonly index: number; readonly item: ServedCall }>()
  let messageId = firstMessageId
  let message: OpenItem | undefined
  let text = ""
  let sentMs = 0
  let hasEnded = false

  const object = (status: ResponseObject["status"], end?: ResponseEnd, usage?: Usage): ResponseObject => ({
    id: response_id,
    object: "realtime.response",
    status,
    status_details: end === undefined ? null : detailsOf(end),
    output: [...output],
    conversation_id: facts.conversationId,
    output_modalities: config.output_modalities,
    max_output_tokens: config.max_output_tokens,
    audio: config.audio,
    usage: usage === undefined ? null : usageOf(usage),
    metadata: config.metadata,
  })

  const add = (item: Item): OpenItem => {
    const index = output.push(item) - 1
    send({ type: "response.output_item.added", response_id, output_index: index, item })
    if (items === undefined) return { index, previousItemId: null }
    const previousItemId = items.add(item)
    send({ type: "conversation.item.added", previous_item_id: previousItemId, item })
    return { index, previousItemId }
  }

  const finish = ({ index, previousItemId }: OpenItem, item: Item, audioMs: number) => {
    output[index] = item
    if (items !== undefined) {
      items.finish(item, audioMs)
      send({ type: "conversation.item.done", previous_item_id: previousItemId, item })
    }
    send({ type: "response.output_item.done", response_id, output_index: index, item })
  }

  const messageItem = (status: ItemStatus, content: MessageContent): Item => ({
    id: messageId,
    object: "realtime.item",
    type: "message",
    role: "assistant",
    status,
    content,
  })

  const at = (output_index: number) => ({ response_id, item_id: messageId, output_index, content_index: 0 })

  /** The part as OpenAI's server names it in content_part events. */
  const part = (): ContentPart =>
    modality === "audio" ? { type: "audio", transcript: text } : { type: "text", text }

  const openMessage = (): OpenItem => {
    if (message !== undefined) return message
    message = add(messageItem("in_progress", []))
    send({ type: "response.content_part.added", ...at(message.index), part: part() })
    return message
  }

  const closeMessage = (open: OpenItem, status: ItemStatus) => {
    const where = at(open.index)
    if (modality === "audio") {
      send({ type: "response.output_audio.done", ...where })
      send({ type: "response.output_audio_transcript.done", ...where, transcript: text })
    } else {
      send({ type: "response.output_text.done", ...where, text })
    }
    send({ type: "response.content_part.done", ...where, part: part() })
    const content: MessageContent =
      modality === "audio" ? [{ type: "output_audio", transcript: text }] : [{ type: "output_text", text }]
    finish(open, messageItem(status, content), sentMs)
  }

  /** A call is whole when it arrives, so all of its events follow each other. */
  const addCall = (call: Extract<ResponseOutput, { readonly _tag: "ToolCall" }>) => {
    // Clients parse the arguments, also those of a call without any.
    const args = call.arguments.trim() === "" ? "{}" : call.arguments
    const item: Extract<Item, { readonly type: "function_call" }> = {
      id: call.itemId,
      object: "realtime.item",
      type: "function_call",
      status: "in_progress",
      call_id: call.callId,
      name: call.name,
      arguments: "",
    }
    const open = add(item)
    const where = { response_id, item_id: call.itemId, output_index: open.index, call_id: call.callId }
    send({ type: "response.function_call_arguments.delta", ...where, delta: args })
    send({ type: "response.function_call_arguments.done", ...where, name: call.name, arguments: args })
    finish(open, { ...item, status: "completed", arguments: args }, 0)
  }

  const addServedCall = ({
    itemId: id,
    callId,
    name,
    ...call
  }: Extract<ResponseOutput, { _tag: "ServedCall" }>) => {
    const item: ServedCall = {
      id,
      object: "realtime.item",
      type: "mcp_call",
      server_label: "voice-agent",
      name,
      arguments: call.arguments,
      output: null,
      error: null,
    }
    const index = output.push(item) - 1
    open.set(callId, { index, item })
    send({ type: "response.output_item.added", response_id, output_index: index, item })
    send({
      type: "response.mcp_call_arguments.done",
      response_id,
      item_id: id,
      output_index: index,
      arguments: call.arguments,
    })
  }

  const endServedCall = (callId: string, result: string, isError: boolean) => {
    const found = open.get(callId)
    if (found === undefined) return
    open.delete(callId)
    const { index } = found
    const item: ServedCall = isError
      ? { ...found.item, error: { type: "tool_execution_error", message: result } }
      : { ...found.item, output: result }
    output[index] = item
    send({
      type: isError ? "response.mcp_call.failed" : "response.mcp_call.completed",
      item_id: item.id,
      output_index: index,
    })
    send({ type: "response.output_item.done", response_id, output_index: index, item })
  }

  const nextMessage = (itemId: string) => {
    if (message !== undefined) closeMessage(message, "completed")
    message = undefined
    messageId = itemId
    text = ""
    sentMs = 0
  }

  return {
    facts,
    begin: () => send({ type: "response.created", response: object("in_progress") }),
    output: (given) => {
      if (hasEnded) return
      if (given._tag === "ToolCall") return addCall(given)
      if (given._tag === "ServedCall") return addServedCall(given)
      if (given._tag === "ServedResult") return endServedCall(given.callId, given.output, given.isError)
      if (given._tag === "Message") return nextMessage(given.itemId)
      const { index } = openMessage()
      if (given._tag === "Audio") {
        sentMs += given.ms
        return send({ type: "response.output_audio.delta", ...at(index), delta: given.delta })
      }
      text += given.text
      send(
        modality === "audio"
          ? { type: "response.output_audio_transcript.delta", ...at(index), delta: given.text }
          : { type: "response.output_text.delta", ...at(index), delta: given.text },
      )
    },
    end: (end, usage) => {
      if (hasEnded) return
      hasEnded = true
      for (const callId of [...open.keys()]) endServedCall(callId, cutOff, true)
      if (message !== undefined) closeMessage(message, end._tag === "completed" ? "completed" : "incomplete")
      send({ type: "response.done", response: object(end._tag, end, usage) })
    },
    message: () => ({ itemId: messageId, audioMs: sentMs }),
  }
}
