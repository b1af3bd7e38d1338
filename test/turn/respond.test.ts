import { expect, test } from "bun:test"
import { FastCheck as fc } from "effect"
import type { Message } from "../../src/conversation/model.ts"
import { ItemId, newId, TurnId } from "../../src/schema.ts"
import { alternating, estimateTokens, fitContext } from "../../src/turn/respond.ts"

const turnOf = (contents: readonly [string, string]): ReadonlyArray<Message> => {
  const common = { turnId: newId(TurnId), interrupted: false, createdAt: new Date(0) }
  return contents.map((content, n) => ({
    ...common,
    id: newId(ItemId),
    role: n === 0 ? "user" : "assistant",
    content,
  }))
}

const tokensOf = (messages: ReadonlyArray<Message>) =>
  messages.reduce((sum, { content }) => sum + estimateTokens(content), 0)

const history = fc
  .array(fc.tuple(fc.string({ maxLength: 80 }), fc.string({ maxLength: 80 })), { maxLength: 10 })
  .map((turns) => turns.map(turnOf))

test("what the model sees are the newest whole turns, as many as fit", () => {
  fc.assert(
    fc.property(history, fc.nat(150), (turns, budget) => {
      const fitting = fitContext(turns.flat(), budget)
      expect(tokensOf(fitting)).toBeLessThanOrEqual(budget)
      const dropped = turns.findLastIndex((_, from) => tokensOf(turns.slice(from).flat()) > budget)
      const newest = turns.slice(dropped + 1).flat()
      expect(fitting).toEqual(newest.filter(({ content }) => content.trim() !== ""))
    }),
  )
})

test("a single turn over the budget is not shown, nor is what was before it", () => {
  const turns = [turnOf(["a", "b"]), turnOf(["x".repeat(400), "y"]), turnOf(["c", "d"])]
  expect(fitContext(turns.flat(), 10).map(({ content }) => content)).toEqual(["c", "d"])
  expect(fitContext(turns.slice(0, 2).flat(), 10)).toEqual([])
  expect(fitContext([], 10)).toEqual([])
})

test("of a turn that the history begins within, nothing is shown", () => {
  const turns = [turnOf(["a", "b"]), turnOf(["c", "d"])].flat()
  expect(fitContext(turns.slice(1), 100).map(({ content }) => content)).toEqual(["c", "d"])
})

test("the roles that the model sees alternate, and nothing that was said is lost", () => {
  const said = fc.array(
    fc.record({ role: fc.constantFrom("user" as const, "assistant" as const), content: fc.string() }),
  )
  fc.assert(
    fc.property(said, (messages) => {
      const shown = alternating(messages)
      expect(shown.some(({ role }, n) => role === shown[n + 1]?.role)).toBe(false)
      expect(shown.map(({ content }) => content).join("\n")).toBe(
        messages.map(({ content }) => content).join("\n"),
      )
    }),
  )
})
