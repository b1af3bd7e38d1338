import { expect, test } from "bun:test"
import { resolve } from "node:path"
import { jsonFault } from "../../src/config/json-fault.ts"
import { prices } from "../../src/config/prices.ts"
import { stdioServers } from "../../src/config/stdio-servers.ts"

test.each([
  ['{"a":1,}', 1, 8],
  ['{\n "a": 1\n "b": 2}', 3, 2],
  ['{"a":[1,]}', 1, 9],
  ['{"a":', 1, 6],
  ["{a:1}", 1, 2],
  ["{'a':1}", 1, 2],
  ['{"a" 1}', 1, 6],
  ['{"a":01}', 1, 6],
  ['{"a":1]', 1, 7],
  ['{"a":"x', 1, 6],
  ['{"a":1} x', 1, 9],
  ['{"a":1}}', 1, 8],
])("%j is wrong at", (text, line, column) => {
  expect(() => JSON.parse(text)).toThrow()
  expect(jsonFault(text)).toEqual({ line, column })
})

test("valid JSON has no fault before its end", () => {
  const text = JSON.stringify(
    { a: [], b: {}, c: [1, -2.5e-7, true, null, { d: '"\\\n é' }], "": "" },
    null,
    1,
  )
  const lines = text.split("\n")
  expect(jsonFault(text)).toEqual({ line: lines.length, column: 2 })
})

test.each([
  ['{"models":{"a":{},}}', /^it is no valid JSON: see line 1, column 19$/],
  ["[]", /^it is no JSON object$/],
  [
    "nowhere/prices.json",
    new RegExp(`^there is no file "${resolve("nowhere/prices.json")}" that can be read$`),
  ],
  ["package.json", new RegExp(`^\\S+ is no field\\..*\\(in ${resolve("package.json")}\\)$`)],
])("PRICES=%s", (text, fault) => {
  expect(prices.explain?.(text)).toMatch(fault)
})

test.each([
  ['{"x":{"cmd":"hush"}}', 'command of the server "x" is missing'],
  ['{"mcpServers":{"x":{"cmd":"hush"}}}', 'command of the server "x" is missing'],
  ['{"x":{"command":""}}', 'command of the server "x" is empty'],
  ['{"x":{"command":"a","args":"hush"}}', 'args of the server "x" must be a list of texts'],
  ['{"x":{"command":"a","env":{"KEY":1}}}', 'env.KEY of the server "x" must be a text'],
  ['{"x":"hush"}', 'the server "x" must be an object'],
  ['{"x":{"command":"a"},}', "it is no valid JSON: see line 1, column 22"],
  ["[]", "it is no JSON object"],
])("MCP_STDIO_SERVERS=%s", (text, fault) => {
  expect(stdioServers.explain?.(text)).toBe(fault)
})
