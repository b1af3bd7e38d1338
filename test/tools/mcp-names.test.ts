import { expect, test } from "bun:test"
import { prefixedName } from "../../src/tools/mcp/names.ts"

test.each([
  ["files", "read", "files__read"],
  ["files", "read.all/now:ü", "files__read_all_now__"],
  ["a", "", "a__"],
])("%s, %s", (server, tool, name) => expect(prefixedName(server, tool)).toBe(name))

test("long names differ", () => {
  const [one, other] = ["1", "2"].map((end) => prefixedName("server", `${"x".repeat(100)}${end}`))
  expect(one).toMatch(/^server__x{47}_[0-9a-f]{8}$/)
  expect(one).not.toBe(other)
})
