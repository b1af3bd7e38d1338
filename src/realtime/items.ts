import { Either } from "effect"
import type { NewItem, Item as StoredItem } from "../conversation/item.ts"
import type { SessionItems } from "../conversation/session-items.ts"
import { ItemId, newId, type UserId } from "../schema.ts"
import type { HeardUpTo } from "../turn/heard-reply.ts"
import type { Turn } from "../turn/turns.ts"
import type { Consumed, Meter } from "../usage/bill.ts"
import {
  appendItem,
  type Conversation,
  type ConversationItem,
  charactersOf,
  checkTruncation,
  deleteItem,
  findItem,
  insertItem,
  maxItems,
  neighboursOf,
  retrieveItem,
  truncated,
  updateItem,
} from "./conversation.ts"
import { restoredItem, shownItem, storableItem, textOf } from "./item-shapes.ts"
import { type ProtocolError, protocolErrors } from "./protocol/errors.ts"
import type { ClientItem, InputItem } from "./protocol/items.ts"
import type { ServerEvent } from "./protocol/server-events.ts"
import type { Item } from "./protocol/server-items.ts"
import { makeReplies } from "./replies.ts"
import type { StoredSession } from "./stored-session.ts"
import type { Writes } from "./writes.ts"

/** UTF-16 units of one item, and of the items of a response's own context: far more than a model takes. */
const longestItem = 262_144
const longestContext = 1_048_576

export interface ItemsOptions {
  readonly userId: UserId
  readonly session: StoredSession
  /** The items of earlier connections. */
  readonly restored: ReadonlyArray<StoredItem>
  readonly stored: SessionItems["Type"]
  readonly writes: Writes
  readonly send: (event: ServerEvent) => void
  /** What transcriptions consumed: stored with the next transcript. */
  readonly meter: Meter
}

/** The items of a connection's conversation: in memory for the client, in the database for the model. Plain functions. */
export interface Items {
  /** Adds an item of the client. Returns the item. */
  readonly create: (given: ClientItem, after: string | undefined) => Either.Either<Item, ProtocolError>
  readonly retrieve: (id: string) => Either.Either<void, ProtocolError>
  readonly remove: (id: string) => Either.Either<void, ProtocolError>
  readonly isEmpty: () => boolean
  /** Cuts the reply `itemId` at `audioEndMs`, in ms of its audio. */
  readonly truncate: (
    itemId: string,
    contentIndex: number,
    audioEndMs: number,
  ) => Either.Either<void, ProtocolError>
  /** Sends committed, added and done of the user's speech, which is not transcribed yet. */
  readonly addSpeech: (id: ItemId) => void
  /** Keeps the transcript of the user's speech. False: the client has deleted the item. */
  readonly addTranscript: (id: string, transcript: string) => boolean
  /** Adds an item of a response. Returns the id of the item before it. */
  readonly addOutput: (item: Item) => string | null
  readonly finishOutput: (item: Item, audioMs: number, isStored: boolean) => void
  /** The turn that speaks an item, for its truncations. */
  readonly setTurn: (id: ItemId, turn: Turn) => void
  /** A call of the service's own tool. It is no item that clients see, but a stock client deletes it as one. */
  readonly addServedCall: (id: ItemId) => void
  /** Cuts what is stored of a reply, by our own estimate: the client may still say better. */
  readonly setHeard: (id: string, upTo: HeardUpTo) => void
  /** The items of a response's own context. `param`: their field. */
  readonly contextOf: (
    input: ReadonlyArray<InputItem>,
  ) => Either.Either<ReadonlyArray<NewItem>, ProtocolError>
}

export const makeItems = ({
  userId,
  session,
  restored,
  stored,
  writes,
  send,
  meter,
}: ItemsOptions): Items => {
  let conversation: Conversation = { items: restored.flatMap(restoredItem) }
  const served = new Map<string, ItemId>()
  const replies = makeReplies({ userId, restored, stored, writes })

  const write = (id: string, consumed?: Consumed) => {
    const found = findItem(conversation, id)
    if (found === undefined) return
    writes.append({
      item: storableItem(found),
      consumed,
      place: () => neighboursOf(conversation, found.itemId, writes.isBehind),
    })
    conversation = updateItem(conversation, id, (entry) => ({ ...entry, isStored: true }))
  }

  return {
    isEmpty: () => conversation.items.length === 0,
    create: (given, after) => {
      const item = shownItem(given)
      const length = charactersOf(item)
      if (length > longestItem) return Either.left(protocolErrors.tooLong("item", length, longestItem))
      if (writes.isFull()) {
        return Either.left(protocolErrors.server("database_unavailable", tooManyWrites))
      }
      const added = { item, itemId: itemIdOf(given, item), audioMs: 0, isStored: false }
      return Either.flatMap(insertItem(conversation, added, after), (inserted) => {
        conversation = inserted.conversation
        // Speech is stored with its transcript.
        const isSpeech = item.type === "message" && textOf(item) === ""
        if (!isSpeech) write(item.id)
        const { previousItemId: previous_item_id } = inserted
        send({ type: "conversation.item.added", previous_item_id, item })
        send({ type: "conversation.item.done", previous_item_id, item })
        return Either.right(item)
      })
    },
    retrieve: (id) =>
      Either.map(retrieveItem(conversation, id), ({ item }) =>
        send({ type: "conversation.item.retrieved", item }),
      ),
    remove: (id) => {
      const call = served.get(id)
      if (call !== undefined) {
        served.delete(id)
        writes.change((onEntered) => session.remove(call, onEntered))
        return Either.right(send({ type: "conversation.item.deleted", item_id: id }))
      }
      return Either.map(deleteItem(conversation, id), ({ conversation: left, deleted }) => {
        conversation = left
        replies.forget(id)
        if (deleted.isStored) writes.change((onEntered) => session.remove(deleted.itemId, onEntered))
        send({ type: "conversation.item.deleted", item_id: id })
      })
    },
    truncate: (itemId, contentIndex, audioEndMs) =>
      Either.map(checkTruncation(conversation, { itemId, contentIndex, audioEndMs }), (found) => {
        conversation = updateItem(conversation, itemId, () =>
          truncated(found, audioEndMs, replies.heardText(itemId, audioEndMs)),
        )
        replies.setHeard(itemId, { playedMs: audioEndMs, itemId: found.itemId })
        send({
          type: "conversation.item.truncated",
          item_id: itemId,
          content_index: contentIndex,
          audio_end_ms: audioEndMs,
        })
      }),
    addSpeech: (itemId) => {
      const id: string = itemId
      const item: Item = {
        id,
        object: "realtime.item",
        type: "message",
        status: "completed",
        role: "user",
        content: [{ type: "input_audio", transcript: null }],
      }
      const entry = { item, itemId, audioMs: 0, isStored: false }
      const { conversation: next, previousItemId: previous_item_id } = appendItem(conversation, entry)
      conversation = next
      send({ type: "input_audio_buffer.committed", item_id: id, previous_item_id })
      send({ type: "conversation.item.added", previous_item_id, item })
      send({ type: "conversation.item.done", previous_item_id, item })
    },
    addTranscript: (id, transcript) => {
      const found = findItem(conversation, id)
      if (found === undefined || found.item.type !== "message") return false
      const { item } = found
      conversation = updateItem(conversation, id, (entry) => ({
        ...entry,
        item: {
          ...item,
          content: item.content.map((part) => (part.type === "input_audio" ? { ...part, transcript } : part)),
        },
      }))
      if (transcript !== "") write(id, meter.take())
      return true
    },
    addOutput: (item) => {
      const entry = { item, itemId: ItemId.make(item.id), audioMs: 0, isStored: false }
      const { conversation: next, previousItemId } = appendItem(conversation, entry)
      conversation = next
      return previousItemId
    },
    finishOutput: (item, audioMs, isItemStored) => {
      conversation = updateItem(conversation, item.id, (found) => ({
        ...found,
        item,
        audioMs,
        isStored: isItemStored,
      }))
    },
    addServedCall: (id) => {
      served.set(id, id)
      const [oldest] = served.keys()
      if (served.size > maxItems && oldest !== undefined) served.delete(oldest)
    },
    setTurn: replies.add,
    setHeard: replies.setHeard,
    contextOf: (input) =>
      Either.flatMap(Either.all(input.map((given, at) => contextItem(conversation, given, at))), (items) => {
        const length = items.reduce((sum, { item }) => sum + charactersOf(item), 0)
        return length > longestContext
          ? Either.left(protocolErrors.tooLong("response.input", length, longestContext))
          : Either.right(items.map(storableItem))
      }),
  }
}

const tooManyWrites = "Too many items wait for the database. Please try again shortly."

/** The stored id: the one that clients see, unless the client chose that, which may be in use in another conversation. */
const itemIdOf = (given: { readonly id?: string }, { id }: Item): ItemId =>
  given.id === undefined ? ItemId.make(id) : newId(ItemId)

const contextItem = (
  conversation: Conversation,
  given: InputItem,
  at: number,
): Either.Either<Pick<ConversationItem, "item" | "itemId">, ProtocolError> => {
  if (given.type !== "item_reference") {
    const item = shownItem(given)
    return Either.right({ item, itemId: itemIdOf(given, item) })
  }
  const found = findItem(conversation, given.id)
  return found === undefined
    ? Either.left(protocolErrors.unknownReference(given.id, `response.input[${at}].id`))
    : Either.right(found)
}
