import { expect, test } from "bun:test"
import { FastCheck as fc } from "effect"
import { alternating, fitHistory } from "../../src/agent/prompt.ts"
import { type Item, newItem } from "../../src/conversation/item.ts"
import { estimateTokens } from "../../src/providers/tokens.ts"
import { newId, TurnId } from "../../src/schema.ts"

const turnOf = (texts: readonly [string, string]): ReadonlyArray<Item> => {
  const common = { turnId: newId(TurnId), createdAt: new Date(0) }
  return texts.map((text, n) => ({
    ...common,
    ...newItem({ type: "message", role: n === 0 ? "user" : "assistant", text }),
  }))
}

const textOf = ({ payload }: Item) => (payload.type === "message" ? payload.text : "")

/** An empty message is not shown, and costs nothing. */
const shown = (items: ReadonlyArray<Item>) => items.map(textOf).filter((text) => text.trim() !== "")

const tokensOf = (items: ReadonlyArray<Item>) =>
  shown(items).reduce((sum, text) => sum + estimateTokens(text), 0)

const contents = (items: ReadonlyArray<Item>, budget: number) =>
  fitHistory(items, budget).map(({ content }) => content)

/** A reply as the service saves it: without markup, and without white space at its start. */
const reply = fc.string({ maxLength: 80 }).map((text) => text.replace(/[<[◁`~]/g, "x").trimStart())

const history = fc
  .array(fc.tuple(fc.string({ maxLength: 80 }), reply), { maxLength: 10 })
  .map((turns) => turns.map(turnOf))

test("the model sees the newest whole turns, as many as fit", () => {
  fc.assert(
    fc.property(history, fc.nat(150), (turns, budget) => {
      const fitting = contents(turns.flat(), budget)
      expect(fitting.reduce((sum, content) => sum + estimateTokens(content), 0)).toBeLessThanOrEqual(budget)
      const dropped = turns.findLastIndex((_, from) => tokensOf(turns.slice(from).flat()) > budget)
      const newest = turns.slice(dropped + 1).flat()
      expect(fitting).toEqual(shown(newest))
    }),
  )
})

test("a turn over the budget is dropped, and those before it", () => {
  const turns = [turnOf(["a", "b"]), turnOf(["x".repeat(400), "y"]), turnOf(["c", "d"])]
  expect(contents(turns.flat(), 10)).toEqual(["c", "d"])
  expect(contents(turns.slice(0, 2).flat(), 10)).toEqual([])
  expect(contents([], 10)).toEqual([])
})

test("a turn that the start of the history cuts off is dropped", () => {
  const turns = [turnOf(["a", "b"]), turnOf(["c", "d"])].flat()
  expect(contents(turns.slice(1), 100)).toEqual(["c", "d"])
})

test("roles alternate, and no text is lost", () => {
  const said = fc.array(
    fc.record({ role: fc.constantFrom("user" as const, "assistant" as const), content: fc.string() }),
  )
  fc.assert(
    fc.property(said, (messages) => {
      const merged = alternating(messages)
      expect(merged.some(({ role }, n) => role === merged[n + 1]?.role)).toBe(false)
      expect(merged.map(({ content }) => content).join("\n")).toBe(
        messages.map(({ content }) => content).join("\n"),
      )
    }),
  )
})
