import { Either } from "effect"
import type { Neighbours } from "../conversation/ledger-items.ts"
import type { ItemId } from "../schema.ts"
import { type ProtocolError, protocolErrors } from "./protocol/errors.ts"
import { rootId } from "./protocol/fields.ts"
import type { Item } from "./protocol/server-items.ts"

/**
 * The most items of one conversation that are kept in memory. The oldest are forgotten first: the database keeps them, and
 * the model still sees them, but a client can no longer name them.
 */
export const maxItems = 2000
/** The most text of all items together that is kept in memory, in UTF-16 units. */
const maxCharacters = 4_000_000

/** An item of the conversation, as this connection knows it. */
export interface ConversationItem {
  readonly item: Item
  /** The id in the database. `item.id` is the one that the client chose, if it chose one. */
  readonly itemId: ItemId
  /** The playing time of the audio that was sent of it and is not cut off, in ms. 0: it has no audio. */
  readonly audioMs: number
  /** True if the database has it, or will have it once the writes before are done. */
  readonly isStored: boolean
}

/** The items of a conversation, oldest first. Immutable. */
export interface Conversation {
  readonly items: ReadonlyArray<ConversationItem>
}

const indexOf = ({ items }: Conversation, id: string) => items.findIndex(({ item }) => item.id === id)

export const findItem = (conversation: Conversation, id: string): ConversationItem | undefined =>
  conversation.items.find(({ item }) => item.id === id)

/** The length of what an item says, in UTF-16 units. */
export const charactersOf = (item: Item): number => {
  switch (item.type) {
    case "message":
      return item.content.reduce(
        (sum, part) => sum + ("text" in part ? part.text.length : (part.transcript?.length ?? 0)),
        0,
      )
    case "function_call":
      return item.name.length + item.arguments.length
    case "function_call_output":
      return item.output.length
  }
}

/** Without the oldest items where there are too many. The newest always stays. */
const bounded = (items: ReadonlyArray<ConversationItem>): Conversation => {
  let characters = 0
  const tooOld = items.findLastIndex(({ item }, at) => {
    characters += charactersOf(item)
    return at < items.length - 1 && (items.length - at > maxItems || characters > maxCharacters)
  })
  return { items: tooOld < 0 ? items : items.slice(tooOld + 1) }
}

/** The conversation with one more item, and the id of the item before it; null at the beginning. */
export interface Inserted {
  readonly conversation: Conversation
  readonly previousItemId: string | null
}

const hasCall = ({ items }: Conversation, callId: string) =>
  items.some(({ item }) => item.type === "function_call" && item.call_id === callId)

/**
 * Inserts an item after the item `after`: undefined means at the end, `root` at the beginning. Refused if there is no such
 * item, if the id is in use, or if it is the output of a call that is not in the conversation.
 */
export const insertItem = (
  conversation: Conversation,
  added: ConversationItem,
  after: string | undefined,
): Either.Either<Inserted, ProtocolError> => {
  const { items } = conversation
  const { item } = added
  if (indexOf(conversation, item.id) >= 0) return Either.left(protocolErrors.duplicateItem(item.id))
  if (item.type === "function_call_output" && !hasCall(conversation, item.call_id)) {
    return Either.left(protocolErrors.unknownToolCall(item.call_id))
  }
  const at = after === undefined ? items.length : after === rootId ? 0 : indexOf(conversation, after) + 1
  if (at === 0 && after !== undefined && after !== rootId) {
    return Either.left(protocolErrors.unknownPreviousItem(after))
  }
  return Either.right({
    conversation: bounded(items.toSpliced(at, 0, added)),
    previousItemId: items[at - 1]?.item.id ?? null,
  })
}

/** Appends an item whose id is new. */
export const appendItem = ({ items }: Conversation, added: ConversationItem): Inserted => ({
  conversation: bounded([...items, added]),
  previousItemId: items.at(-1)?.item.id ?? null,
})

/** Replaces the item with the same id. An item that was deleted meanwhile stays deleted. */
export const updateItem = (
  conversation: Conversation,
  id: string,
  change: (found: ConversationItem) => ConversationItem,
): Conversation => {
  const { items } = conversation
  const at = indexOf(conversation, id)
  const found = items[at]
  return found === undefined ? conversation : { items: items.with(at, change(found)) }
}

export const deleteItem = (
  conversation: Conversation,
  id: string,
): Either.Either<
  { readonly conversation: Conversation; readonly deleted: ConversationItem },
  ProtocolError
> => {
  const { items } = conversation
  const at = indexOf(conversation, id)
  const deleted = items[at]
  return deleted === undefined
    ? Either.left(protocolErrors.deleteUnknownItem(id))
    : Either.right({ conversation: { items: items.toSpliced(at, 1) }, deleted })
}

export const retrieveItem = (
  conversation: Conversation,
  id: string,
): Either.Either<ConversationItem, ProtocolError> => {
  const found = findItem(conversation, id)
  return found === undefined ? Either.left(protocolErrors.retrieveUnknownItem(id)) : Either.right(found)
}

/**
 * The items around an item, without those that will be stored after it. An item that was deleted meanwhile has no place: it
 * goes to the end.
 */
export const neighboursOf = (
  { items }: Conversation,
  itemId: ItemId,
  isBehind: (id: ItemId, other: ItemId) => boolean,
): Neighbours => {
  const ids = items.map((entry) => entry.itemId)
  const at = ids.lastIndexOf(itemId)
  if (at < 0) return { earlier: ids, later: [] }
  const later = ids.slice(at + 1).filter((id) => !isBehind(id, itemId))
  return { earlier: later.length === 0 ? [] : ids.slice(0, at), later }
}

/** Which part of an item a client heard. */
export interface Truncation {
  readonly itemId: string
  readonly contentIndex: number
  /** From the start of the item's audio, in ms. */
  readonly audioEndMs: number
}

/**
 * Checks a truncation. Refused for other items than assistant messages with audio, and beyond the end of the audio that was
 * sent. Every end before that is fine, also 0 and one that was used before.
 */
export const checkTruncation = (
  conversation: Conversation,
  { itemId, contentIndex, audioEndMs }: Truncation,
): Either.Either<ConversationItem, ProtocolError> => {
  const found = findItem(conversation, itemId)
  if (found === undefined) return Either.left(protocolErrors.truncateUnknownItem(itemId))
  const { item, audioMs } = found
  const isSpoken = item.type === "message" && item.content.some(({ type }) => type === "output_audio")
  // An assistant's item has no content before its first audio. Cutting that off is nothing, but not wrong.
  const isEmpty = item.type === "message" && item.role === "assistant" && item.content.length === 0
  if ((!isSpoken && !isEmpty) || contentIndex !== 0) return Either.left(protocolErrors.truncateNotAudio())
  // Clients round the playing time to whole ms.
  const length = Math.ceil(audioMs)
  return audioEndMs > length
    ? Either.left(protocolErrors.truncateTooLong(length, audioEndMs))
    : Either.right(found)
}

/** The item cut to what was heard. `transcript`: the text of the segments that were heard completely. */
export const truncated = (
  { item, ...entry }: ConversationItem,
  audioEndMs: number,
  transcript: string,
): ConversationItem => ({
  ...entry,
  item:
    item.type === "message"
      ? {
          ...item,
          content: item.content.map((part) => ("transcript" in part ? { ...part, transcript } : part)),
        }
      : item,
  audioMs: audioEndMs,
})
