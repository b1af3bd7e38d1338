/** What is spoken of constructs over several lines, which the segmenter cuts at their ends. */
import { expect, test } from "bun:test"
import { finish, initialState, push, type Segment } from "../../src/text/segmenter.ts"

/** The reply as it is spoken, if it arrives in tokens of so many characters. */
const speak = (reply: string, size: number): string => {
  let state = initialState
  const segments: Array<Segment> = []
  for (let at = 0; at < reply.length; at += size) {
    const [next, out] = push(state, reply.slice(at, at + size))
    state = next
    segments.push(...out)
  }
  segments.push(...finish(state)[1])
  expect(segments.map(({ text }) => text).join("")).toBe(reply)
  return segments.flatMap(({ spoken }) => (spoken === "" ? [] : [spoken])).join(" ")
}

test.each([
  [
    "a formula between dollars",
    "The formula is:\n\n$$\nx = \\frac{-b}{2a}\n$$\n\nThat is all.",
    "The formula is: x = minus b over 2a. That is all.",
  ],
  [
    "a formula between brackets",
    "So we get:\n\\[\n\\begin{aligned}\na &= b^2 \\\\\nc &= 3.5\n\\end{aligned}\n\\]\nDone.",
    "So we get: a = b squared. c = 3.5. Done.",
  ],
  [
    "formulas in a sentence",
    "So \\( x = 3.5 \\). Then $y^2$! Done.",
    "So x equals 3.5. Then y squared! Done.",
  ],
  [
    "a table without outer bars",
    "Here:\n\nName | Age\n--- | ---\nAnn | 30\nBob | 25\n\nThat is all.",
    "Here: Name, Age. Ann, 30. Bob, 25. That is all.",
  ],
  ["a table with them", "| Name | Age |\n|:--|--:|\n| Ann | 30 |", "Name, Age. Ann, 30."],
  ["citations", "Paris is big.[1][2] London is bigger [3].\nDone.", "Paris is big. London is bigger. Done."],
  ["a definition list", "Term\n: What it means\n\nDone.", "Term. What it means. Done."],
  ["entities", "Caf&eacute;s &mdash; it&#8217;s fine. AT&T &amp; co.", "Cafés — it’s fine. AT&T & co."],
])("%s", (_, reply, spoken) => {
  for (const size of [1, 3, 7, reply.length]) expect(speak(reply, size)).toBe(spoken)
})
