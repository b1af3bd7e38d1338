import { expect, test } from "bun:test"
import { replaceSection, sectionOf } from "../../scripts/bench/section.ts"

const page = `# Page

By hand.

<!-- one: begin -->

old

<!-- one: end -->

Between.

<!-- two: begin -->
<!-- two: end -->
`

test("replaces a section and keeps the rest", () => {
  const once = replaceSection(page, "one", "new\n")
  expect(once).toBe(page.replace("\nold\n", "\nnew\n"))
  expect(replaceSection(once, "one", "new")).toBe(once)
})

test("fills an empty section", () => {
  expect(replaceSection(page, "two", "first")).toContain(
    "<!-- two: begin -->\n\nfirst\n\n<!-- two: end -->\n",
  )
})

test("reads a section", () => {
  expect(sectionOf(page, "one")).toBe("old")
  expect(sectionOf(page, "two")).toBe("")
  expect(sectionOf(page, "three")).toBe("")
})

test("fails for a page without the section", () => {
  expect(() => replaceSection(page, "three", "x")).toThrow('no section "three"')
})
