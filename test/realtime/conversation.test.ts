import { describe, expect, test } from "bun:test"
import { Either, FastCheck as fc } from "effect"
import {
  appendItem,
  type Conversation,
  type ConversationItem,
  checkTruncation,
  deleteItem,
  findItem,
  insertItem,
  maxItems,
  neighboursOf,
  retrieveItem,
  truncated,
  updateItem,
} from "../../src/realtime/conversation.ts"
import type { Item } from "../../src/realtime/protocol/server-items.ts"
import { ItemId, newId } from "../../src/schema.ts"

const SEED = 22

const emptyConversation: Conversation = { items: [] }

const base = { object: "realtime.item", status: "completed" } as const

const entry = (item: Item, more: Partial<ConversationItem> = {}): ConversationItem => ({
  item,
  itemId: newId(ItemId),
  audioMs: 0,
  isStored: true,
  ...more,
})

const said = (id: string, text = "Hello.", more: Partial<ConversationItem> = {}) =>
  entry({ ...base, id, type: "message", role: "user", content: [{ type: "input_text", text }] }, more)

const spoken = (id: string, audioMs: number) =>
  entry(
    {
      ...base,
      id,
      type: "message",
      role: "assistant",
      content: [{ type: "output_audio", transcript: "One. Two." }],
    },
    { audioMs },
  )

const of = (...items: ReadonlyArray<ConversationItem>): Conversation => ({ items })
const idsOf = ({ items }: Conversation) => items.map(({ item }) => item.id)
const codeOf = <A>(result: Either.Either<A, { readonly code: string | null; readonly message: string }>) =>
  Either.match(result, { onLeft: ({ code, message }) => `${code}: ${message}`, onRight: () => "accepted" })

describe("inserting", () => {
  const conversation = of(said("a"), said("b"))

  test("at the end, at the beginning, and after an item", () => {
    const places = [undefined, "root", "a", "b"].map((after) =>
      Either.map(insertItem(conversation, said("new"), after), (inserted) => ({
        ids: idsOf(inserted.conversation),
        previous: inserted.previousItemId,
      })),
    )
    expect(places.map(Either.getOrThrow)).toEqual([
      { ids: ["a", "b", "new"], previous: "b" },
      { ids: ["new", "a", "b"], previous: null },
      { ids: ["a", "new", "b"], previous: "a" },
      { ids: ["a", "b", "new"], previous: "b" },
    ])
  })

  test("an unknown previous item", () => {
    expect(codeOf(insertItem(conversation, said("new"), "x"))).toBe(
      "item_create_invalid_previous_item_id: Error adding item: the previous item with id 'x' does not exist.",
    )
  })

  test("an id that is in use", () => {
    expect(codeOf(insertItem(conversation, said("a"), undefined))).toStartWith(
      "item_create_duplicate_item_id",
    )
  })

  test("the output of a call", () => {
    const output = entry({ ...base, id: "o", type: "function_call_output", call_id: "call_1", output: "{}" })
    expect(codeOf(insertItem(conversation, output, undefined))).toBe(
      "invalid_tool_call_id: Tool call ID 'call_1' not found in conversation.",
    )
    const call = entry({
      ...base,
      id: "c",
      type: "function_call",
      call_id: "call_1",
      name: "f",
      arguments: "{}",
    })
    expect(codeOf(insertItem(appendItem(conversation, call).conversation, output, undefined))).toBe(
      "accepted",
    )
  })
})

describe("retrieving and deleting", () => {
  test("an unknown item", () => {
    expect(codeOf(retrieveItem(emptyConversation, "x"))).toBe(
      "item_retrieve_invalid_item_id: Error retrieving item: the item with id 'x' does not exist.",
    )
    expect(codeOf(deleteItem(emptyConversation, "x"))).toBe(
      "item_delete_invalid_item_id: Error deleting item: the item with id 'x' does not exist.",
    )
  })

  test("a deleted item stays deleted when its response ends", () => {
    const { conversation } = Either.getOrThrow(deleteItem(of(said("a"), spoken("b", 10)), "b"))
    expect(idsOf(updateItem(conversation, "b", () => spoken("b", 20)))).toEqual(["a"])
  })
})

describe("truncating", () => {
  const conversation = of(said("u"), spoken("b", 3700.4))
  const at = (itemId: string, audioEndMs: number, contentIndex = 0) =>
    codeOf(checkTruncation(conversation, { itemId, contentIndex, audioEndMs }))

  test("up to the end of the audio, 0 ms among it", () => {
    expect([0, 1, 3700, 3701].map((ms) => at("b", ms))).toEqual(Array(4).fill("accepted"))
  })

  test("beyond the audio", () => {
    expect(at("b", 3760)).toBe("invalid_value: Audio content of 3701ms is already shorter than 3760ms")
  })

  test("what is no reply", () => {
    expect(at("u", 0)).toBe("unsupported_content_type: Only model output audio messages can be truncated")
    expect(at("b", 0, 1)).toStartWith("unsupported_content_type")
    expect(at("x", 0)).toBe("item_truncate_invalid_item_id: Item with item_id not found: x")
  })

  test("a shorter reply cannot become longer again", () => {
    const cut = updateItem(conversation, "b", (found) => truncated(found, 1000, "One."))
    expect(findItem(cut, "b")?.item).toMatchObject({
      content: [{ type: "output_audio", transcript: "One." }],
    })
    expect(codeOf(checkTruncation(cut, { itemId: "b", contentIndex: 0, audioEndMs: 1001 }))).toStartWith(
      "invalid_value",
    )
  })
})

test("the neighbours of an item, without those that are stored after it", () => {
  const [a, b, c, d] = [said("a"), said("b"), said("c"), said("d")]
  const waiting = [d.itemId]
  const neighbours = (conversation: Conversation, { itemId }: ConversationItem) =>
    neighboursOf(conversation, itemId, (id, other) => other === itemId && waiting.includes(id))
  expect(neighbours(of(a, b, c, d), b)).toEqual({ earlier: [a.itemId], later: [c.itemId] })
  expect(neighbours(of(b, c), b)).toEqual({ earlier: [], later: [c.itemId] })
  expect(neighbours(of(a, b, d), b).later).toEqual([])
  expect(neighbours(of(a, c), b).later).toEqual([])
})

describe("bounds", () => {
  test("the oldest items are forgotten", () => {
    let conversation = emptyConversation
    for (let at = 0; at < maxItems + 5; at++)
      conversation = appendItem(conversation, said(`i${at}`)).conversation
    expect(conversation.items).toHaveLength(maxItems)
    expect(conversation.items.at(-1)?.item.id).toBe(`i${maxItems + 4}`)
    expect(codeOf(retrieveItem(conversation, "i4"))).toStartWith("item_retrieve_invalid_item_id")
  })

  test("the text is bounded as well, and the newest item stays", () => {
    const long = "x".repeat(3_000_000)
    expect(idsOf(appendItem(of(said("a", long)), said("b", long)).conversation)).toEqual(["b"])
    expect(idsOf(appendItem(emptyConversation, said("c", long + long)).conversation)).toEqual(["c"])
  })
})

type Operation =
  | { readonly _tag: "insert"; readonly id: string; readonly after: string | undefined }
  | { readonly _tag: "delete"; readonly id: string }
  | { readonly _tag: "truncate"; readonly id: string; readonly ms: number }

const id = fc.constantFrom("a", "b", "c", "d", "e")
const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({
    _tag: fc.constant("insert" as const),
    id,
    after: fc.option(fc.oneof(id, fc.constant("root")), { nil: undefined }),
  }),
  fc.record({ _tag: fc.constant("delete" as const), id }),
  fc.record({ _tag: fc.constant("truncate" as const), id, ms: fc.nat(200) }),
)

test("any operations keep the order and the lengths of a list", () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
      let conversation = emptyConversation
      /** The same as a plain list: the id, and the length of the audio. */
      const model: Array<{ readonly id: string; ms: number }> = []
      for (const each of operations) {
        const at = model.findIndex((known) => known.id === each.id)
        if (each._tag === "insert") {
          const inserted = insertItem(conversation, spoken(each.id, 100), each.after)
          const after = each.after === "root" ? -1 : model.findIndex((known) => known.id === each.after)
          const isValid = at < 0 && (each.after === undefined || each.after === "root" || after >= 0)
          expect(Either.isRight(inserted)).toBe(isValid)
          if (Either.isLeft(inserted)) continue
          const place = each.after === undefined ? model.length : after + 1
          expect(inserted.right.previousItemId).toBe(model[place - 1]?.id ?? null)
          model.splice(place, 0, { id: each.id, ms: 100 })
          conversation = inserted.right.conversation
        } else if (each._tag === "delete") {
          const deleted = deleteItem(conversation, each.id)
          expect(Either.isRight(deleted)).toBe(at >= 0)
          if (Either.isRight(deleted)) conversation = deleted.right.conversation
          if (at >= 0) model.splice(at, 1)
        } else {
          const known = model[at]
          const cut = checkTruncation(conversation, { itemId: each.id, contentIndex: 0, audioEndMs: each.ms })
          expect(Either.isRight(cut)).toBe(known !== undefined && each.ms <= known.ms)
          if (Either.isLeft(cut) || known === undefined) continue
          known.ms = each.ms
          conversation = updateItem(conversation, each.id, (found) => truncated(found, each.ms, ""))
        }
        expect(idsOf(conversation)).toEqual(model.map((known) => known.id))
        expect(conversation.items.at(-1)?.item.id).toBe(model.at(-1)?.id)
      }
    }),
    { seed: SEED },
  )
})
