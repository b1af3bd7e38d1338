import { type NewItem, newItem, type Item as StoredItem } from "../conversation/item.ts"
import { newCallId } from "../providers/tools.ts"
import { ItemId, newId } from "../schema.ts"
import type { ConversationItem } from "./conversation.ts"
import type { ClientItem } from "./protocol/items.ts"
import type { Item, MessagePart } from "./protocol/server-items.ts"

/** What a part says, as text. Null: speech that is not transcribed. */
const textOfPart = (part: MessagePart): string | null => ("text" in part ? part.text : part.transcript)

/** What a message says. */
export const textOf = ({ content }: { readonly content: ReadonlyArray<MessagePart> }): string =>
  content
    .map(textOfPart)
    .filter((text) => text !== null && text !== "")
    .join("\n")

const common = { object: "realtime.item", status: "completed" } as const

/** An item that a client adds, as clients see it. */
export const shownItem = (given: ClientItem): Item => {
  const id = given.id ?? newId(ItemId)
  switch (given.type) {
    case "message":
      return {
        id,
        ...common,
        type: given.type,
        role: given.role,
        content: given.content.map((part): MessagePart => {
          switch (part.type) {
            case "input_audio":
              return { type: part.type, transcript: part.transcript ?? null }
            case "output_audio":
              // An assistant's audio cannot be added: its words count as text.
              return { type: "output_text", text: part.transcript ?? "" }
            default:
              return part
          }
        }),
      }
    case "function_call":
      return {
        id,
        ...common,
        type: given.type,
        call_id: given.call_id ?? newCallId(),
        name: given.name,
        arguments: given.arguments.trim() === "" ? "{}" : given.arguments,
      }
    case "function_call_output":
      return { id, ...common, type: given.type, call_id: given.call_id, output: given.output }
  }
}

/** An item as the database and the model take it. */
export const storableItem = ({ item, itemId }: Pick<ConversationItem, "item" | "itemId">): NewItem => {
  const details = { clientId: item.id === itemId ? null : item.id }
  switch (item.type) {
    case "message":
      return {
        ...newItem({ type: "message", role: item.role, text: textOf(item) }, details),
        id: itemId,
        interrupted: item.status === "incomplete",
      }
    case "function_call": {
      const { call_id: callId, name } = item
      return {
        ...newItem({ type: "tool_call", callId, name, arguments: item.arguments }, details),
        id: itemId,
      }
    }
    case "function_call_output": {
      const { call_id: callId, output } = item
      return { ...newItem({ type: "tool_result", callId, output }, details), id: itemId }
    }
  }
}

const partOf = (role: "user" | "assistant" | "system", text: string): MessagePart => ({
  type: role === "assistant" ? "output_text" : "input_text",
  text,
})

/**
 * An item of an earlier connection, as clients see it. Its audio is not kept: a reply that was spoken shows its transcript,
 * and its client may still say how much of that it played. A summary is shown to the model only.
 */
export const restoredItem = ({
  id,
  clientId,
  payload,
  interrupted,
  heardMs,
}: StoredItem): ReadonlyArray<ConversationItem> => {
  const base = {
    id: clientId ?? id,
    object: "realtime.item",
    status: interrupted ? "incomplete" : "completed",
  } as const
  const entry = { itemId: id, audioMs: heardMs ?? 0, isStored: true }
  switch (payload.type) {
    case "message": {
      const { role, text } = payload
      const isSpoken = role === "assistant" && heardMs !== null
      const part: MessagePart = isSpoken ? { type: "output_audio", transcript: text } : partOf(role, text)
      return [{ ...entry, item: { ...base, type: "message", role, content: [part] } }]
    }
    case "tool_call": {
      const { callId, name } = payload
      return [
        {
          ...entry,
          item: { ...base, type: "function_call", call_id: callId, name, arguments: payload.arguments },
        },
      ]
    }
    case "tool_result": {
      const { callId, output } = payload
      return [{ ...entry, item: { ...base, type: "function_call_output", call_id: callId, output } }]
    }
    case "summary":
      return []
  }
}
