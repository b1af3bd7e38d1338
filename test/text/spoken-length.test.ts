/** What a voice gets is within its limit, also where cleaning makes a text longer. */
import { describe, expect, test } from "bun:test"
import { FastCheck as fc } from "effect"
import { finish, flush, initialState, push } from "../../src/text/segmenter.ts"
import { toSpokenText } from "../../src/text/spoken-text.ts"

const parts = [
  "$a<b$",
  "$=$",
  "$$x<y$$",
  "\\(a \\neq b\\)",
  "x^2",
  "\\le ",
  "a|b",
  "|",
  "a\n",
  "- b\n",
  "字\n",
  "字",
  "a",
  " ",
  ", ",
  "&copy;",
  ". ",
  "\\frac{a}{b}",
]

/** The pieces of a reply that arrives in chunks, with a flush after each. */
const spokenOf = (reply: string, size: number, limit: number) => {
  let state = { ...initialState, limit }
  const pieces: Array<string> = []
  const add = ([next, segments]: ReturnType<typeof push>) => {
    state = next
    pieces.push(...segments.map(({ spoken }) => spoken))
  }
  for (let at = 0; at < reply.length; at += size) {
    add(push(state, reply.slice(at, at + size)))
    add(flush(state))
  }
  add(finish(state))
  return pieces
}

const anyReply = fc
  .array(fc.tuple(fc.constantFrom(...parts), fc.integer({ min: 1, max: 900 })), {
    minLength: 1,
    maxLength: 4,
  })
  .map((runs) => runs.map(([part, times]) => part.repeat(times)).join(""))

describe("the spoken text", () => {
  test("is at most half longer than the text, and 1000 characters for formulas", () => {
    fc.assert(
      fc.property(anyReply, (text) => {
        expect(toSpokenText(text).length).toBeLessThanOrEqual(1.5 * text.length + 1001)
      }),
      { numRuns: 300 },
    )
  })

  test.each([4096, 200, 50])("is at most %d characters in every piece", (limit) => {
    fc.assert(
      fc.property(anyReply, fc.constantFrom(7, 500, 5000), (reply, size) => {
        // 4096 is OpenAI's own limit: nothing is configured.
        const given = limit === 4096 ? initialState.limit : limit
        for (const spoken of spokenOf(reply, size, given)) {
          expect(spoken.length).toBeLessThanOrEqual(limit)
        }
      }),
      { numRuns: 150 },
    )
  })

  test.each(["$a<b$", "$=$", "x^2 ", "\\le ", "a|b", "a\n", "|a"])(
    "%j without a pause is within 4096",
    (part) => {
      for (const spoken of spokenOf(part.repeat(4000 / part.length), 5000, initialState.limit)) {
        expect(spoken.length).toBeLessThanOrEqual(4096)
      }
    },
  )
})
