import { expect, test } from "bun:test"
import { replaceSection } from "../../scripts/bench/section.ts"

const page = `# Page

By hand.

<!-- one: begin -->

old

<!-- one: end -->

Between.

<!-- two: begin -->
<!-- two: end -->
`

test("a section is written anew, and all around it stays", () => {
  const once = replaceSection(page, "one", "new\n")
  expect(once).toBe(page.replace("\nold\n", "\nnew\n"))
  expect(replaceSection(once, "one", "new")).toBe(once)
})

test("one that was empty is filled", () => {
  expect(replaceSection(page, "two", "first")).toContain(
    "<!-- two: begin -->\n\nfirst\n\n<!-- two: end -->\n",
  )
})

test("a page without the section is not guessed at", () => {
  expect(() => replaceSection(page, "three", "x")).toThrow('no section "three"')
})
